/** Cc: control characters of the terminal. Cf: marks that reorder or hide text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Escapes characters that would control the terminal or deceive its reader as `\uXXXX` (CWE-150). JSON stays the same
 * JSON.
 *
 * @param keepLineEnds for text whose line ends come from this program.
 */
export function toPrintable(text: string, { keepLineEnds = false } = {}): string {
  return text.replace(UNPRINTABLE, (character) =>
    keepLineEnds && character === '\n' ? character : escapeUnits(character),
  )
}

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('')
}
