import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ENGLISH = new URL('../../interactions/locales/en.json', import.meta.url)
const FIRST_LETTER = 'א'.codePointAt(0) ?? 0
const LETTERS = 22

/**
 * Creates an operator's folder with a right-to-left language: English with each letter replaced by a Hebrew one, so
 * that every message exists and has its length in English.
 *
 * @returns the folder, for `TEMPLATES_DIR`.
 */
export function createRightToLeftFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-rtl-'))
  const english: Record<string, string> = JSON.parse(readFileSync(ENGLISH, 'utf8'))
  const written = Object.entries(english).map(([key, message]) => [
    key,
    // Messages with plurals stay: their choices are words of the syntax.
    message.includes('plural') ? message : message.replace(/\{[^}]*\}|<[^>]*>|[a-z]/gi, toRightToLeft),
  ])
  mkdirSync(join(folder, 'locales'))
  writeFileSync(join(folder, 'locales', 'he.json'), JSON.stringify(Object.fromEntries(written)))
  return folder
}

function toRightToLeft(part: string): string {
  if (part.length > 1) return part
  return String.fromCodePoint(FIRST_LETTER + (part.toLowerCase().charCodeAt(0) % LETTERS))
}
