import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What people see, as it comes with the package. */
const OWN_FOLDER = fileURLToPath(new URL('../../interactions/', import.meta.url))

/** Everything in `interactions/`, and an operator's files in front of it, one by one. */
export type InteractionFiles = Readonly<{
  /** Paths of all files that end so, relative to the folder, with `/` between their parts. */
  list: (ending: string) => readonly string[]
  /** The file that counts: the operator's, if there is one. */
  read: (path: string) => Buffer
  /** Our own file of that path, if there is one. */
  readOwn: (path: string) => Buffer | undefined
  /** The operator's file of that path, if there is one. */
  readOverride: (path: string) => Buffer | undefined
}>

/** @param overrides the operator's folder. */
export function openInteractionFiles(overrides?: string): InteractionFiles {
  const own = readFolder(OWN_FOLDER)
  const others = overrides === undefined ? new Map<string, Buffer>() : readFolder(overrides)
  return {
    list: (ending) => [...new Set([...own.keys(), ...others.keys()])].filter((path) => path.endsWith(ending)),
    read(path) {
      const file = others.get(path) ?? own.get(path)
      if (!file) throw new Error(`interactions/ has no file ${path}`)
      return file
    },
    readOwn: (path) => own.get(path),
    readOverride: (path) => others.get(path),
  }
}

/** All of it at once, before anything is answered: what is changed while the server runs counts from its next start. */
function readFolder(folder: string): Map<string, Buffer> {
  return new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => {
        const path = join(parentPath, name)
        return [path.slice(join(folder, '/').length).replaceAll('\\', '/'), readFileSync(path)]
      }),
  )
}
