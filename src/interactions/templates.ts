import { Eta } from 'eta'
import type { InteractionFiles } from './files.ts'

export type Templates = ReturnType<typeof compileTemplates>

/**
 * Compiles every template of `interactions/`. They name each other by `./` and the path from there, wherever they are
 * themselves. Every value is escaped by default.
 *
 * @throws naming the template that cannot be compiled.
 */
export function compileTemplates(files: InteractionFiles) {
  const eta = new Eta({ autoEscape: true, cache: true })
  eta.resolvePath = (name) => name.replace(/^\.\//, '')
  eta.readFile = (name) => {
    throw new Error(`there is no template ${name}.eta`)
  }
  for (const path of files.list('.eta')) {
    try {
      eta.loadTemplate(path.replace(/\.eta$/, ''), files.read(path).toString('utf8'))
    } catch (error) {
      throw new Error(`${path}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return {
    /** @param name path without `.eta`, such as `login` or `mail/reset`. */
    draw: (name: string, values: object): string => eta.render(name, values),
  }
}
