import { Eta } from 'eta'
import type { InteractionFiles } from './files.ts'
import type { Messages } from './messages.ts'

export type Templates = ReturnType<typeof compileTemplates>

/**
 * Compiles every template of `interactions/`. They name each other by `./` and the path from there, wherever they are
 * themselves. Every value is escaped by default.
 *
 * @throws naming every template that cannot be compiled, or that names a message that does not exist.
 */
export function compileTemplates(files: InteractionFiles, messages: Messages) {
  const eta = new Eta({ autoEscape: true, cache: true })
  eta.resolvePath = (name) => name.replace(/^\.\//, '')
  eta.readFile = (name) => {
    throw new Error(`there is no template ${name}.eta`)
  }
  const faults = files.list('.eta').flatMap((path) => {
    const source = files.read(path).toString('utf8')
    try {
      eta.loadTemplate(path.replace(/\.eta$/, ''), source)
    } catch (error) {
      return [`${path}: ${error instanceof Error ? error.message : error}`]
    }
    return unknownMessages(source, messages).map((key) => `${path}: there is no message ${key}`)
  })
  if (faults.length > 0) throw new Error(`Templates have faults:\n${faults.join('\n')}`)
  return {
    /** @param name path without `.eta`, such as `login` or `mail/reset`. */
    draw: (name: string, values: object): string => eta.render(name, values),
  }
}

/** Messages that a template names in full; names that are made while it is drawn cannot be known here. */
function unknownMessages(source: string, messages: Messages): string[] {
  const keys = [...source.matchAll(/\.(?:t|html)\('([^']+)'/g)].map(([, key = '']) => key)
  return keys.filter((key) => !messages.has(key))
}
