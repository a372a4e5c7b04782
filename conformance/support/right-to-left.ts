import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ENGLISH = new URL('../../interactions/locales/en.json', import.meta.url)
const FIRST_LETTER = 'א'.codePointAt(0) ?? 0
const LETTERS = 22

/**
 * A folder as an operator might have one, with a language that is written from right to left: English, letter by
 * letter in Hebrew, so that every message is there and as long as it is in English.
 *
 * @returns the folder, for `TEMPLATES_DIR`.
 */
export function createRightToLeftFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-rtl-'))
  const english: Record<string, string> = JSON.parse(readFileSync(ENGLISH, 'utf8'))
  const written = Object.entries(english).map(([key, message]) => [
    key,
    // Choices of a plural are left as they are: they are words of the syntax.
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
