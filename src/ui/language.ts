import { match } from '@formatjs/intl-localematcher'

/** Enough for every browser; matching takes time for each tag. */
const MAX_TAGS = 20

/**
 * Finds the available language that suits a reader best.
 *
 * @param preferred language tags, the best first. Invalid tags are ignored.
 */
export function chooseLanguage(
  preferred: readonly string[],
  available: readonly string[],
  otherwise: string,
): string {
  const tags = preferred.slice(0, MAX_TAGS).flatMap((tag) => canonicalTag(tag) ?? [])
  return tags.length === 0 ? otherwise : match(tags, available, otherwise, { algorithm: 'best fit' })
}

function canonicalTag(tag: string): string | undefined {
  try {
    // Extensions select calendars and digits, not a language.
    return new Intl.Locale(tag).baseName
  } catch {
    return undefined
  }
}
