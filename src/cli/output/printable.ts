/** Cc: controls, which move the cursor or worse. Cf: marks that reorder or hide text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Text from elsewhere as a terminal may show it: what would steer the terminal, or deceive its reader, becomes `\uXXXX`.
 * JSON stays the same JSON.
 *
 * @param keepLineEnds for text whose line ends are our own.
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
