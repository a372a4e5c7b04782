import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The package's own templates, messages and style sheet. */
const OWN_FOLDER = fileURLToPath(new URL('../../interactions/', import.meta.url))

/** The files of `interactions/`. A file of the operator replaces the one with the same path. */
export type InteractionFiles = Readonly<{
  /** Paths with this ending, relative to the folder and separated by `/`. */
  list: (ending: string) => readonly string[]
  /** The operator's file, or else our own. */
  read: (path: string) => Buffer
  /** Our own file; undefined if it does not exist. */
  readOwn: (path: string) => Buffer | undefined
  /** The operator's file; undefined if it does not exist. */
  readOverride: (path: string) => Buffer | undefined
}>

/** @param overrides the operator's folder. */
export function openInteractionFiles(overrides?: string): InteractionFiles {
  const own = readFolder(OWN_FOLDER)
  const overriding = overrides === undefined ? new Map<string, Buffer>() : readFolder(overrides)
  return {
    list: (ending) =>
      [...new Set([...own.keys(), ...overriding.keys()])].filter((path) => path.endsWith(ending)),
    read(path) {
      const file = overriding.get(path) ?? own.get(path)
      if (!file) throw new Error(`interactions/ has no file ${path}`)
      return file
    },
    readOwn: (path) => own.get(path),
    readOverride: (path) => overriding.get(path),
  }
}

/** Reads all files at start; later changes take effect with the next start. */
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
