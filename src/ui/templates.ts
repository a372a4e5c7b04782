import { Eta } from 'eta'
import type { InteractionFiles } from './files.ts'
import type { Messages } from './messages.ts'

export type Templates = ReturnType<typeof compileTemplates>

/**
 * Compiles every template of `interactions/`. A template includes another by `./` and its path in that folder. Values are
 * escaped by default.
 *
 * @throws with every template that does not compile or that uses an unknown message.
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
    render: (name: string, values: object): string => eta.render(name, values),
  }
}

/** Finds unknown messages among literal keys; keys that are computed during rendering are not checked. */
function unknownMessages(source: string, messages: Messages): string[] {
  const keys = [...source.matchAll(/\.(?:t|html)\('([^']+)'/g)].map(([, key = '']) => key)
  return keys.filter((key) => !messages.has(key))
}
