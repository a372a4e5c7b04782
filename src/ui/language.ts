import { match } from '@formatjs/intl-localematcher'

/** More than any browser sends; the rest of a longer list is not looked at. */
const MAX_CHARACTERS = 500
const MAX_TAGS = 10

/** The languages of `ui_locales`, the best first (OpenID Connect Core §3.1.2.1). What is no language tag is left out. */
export function parseUiLocales(value: unknown): string[] {
  return typeof value === 'string' ? toTags(value.slice(0, MAX_CHARACTERS).split(/\s+/)) : []
}

/** The languages of an `Accept-Language` header, the best first (RFC 9110 §12.5.4). */
export function parseAcceptLanguage(header: string): string[] {
  const ranges = header
    .slice(0, MAX_CHARACTERS)
    .split(',')
    .map((range) => {
      const [tag = '', ...parameters] = range.split(';').map((part) => part.trim())
      const quality = parameters.find((parameter) => parameter.startsWith('q='))
      return { tag, quality: quality === undefined ? 1 : Number(quality.slice(2)) }
    })
    .filter(({ quality }) => quality > 0)
  return toTags(ranges.toSorted((a, b) => b.quality - a.quality).map(({ tag }) => tag))
}

/** @returns the one of the available languages that people who prefer these read best. */
export function chooseLanguage(
  preferred: readonly string[],
  available: readonly string[],
  otherwise: string,
): string {
  return preferred.length === 0
    ? otherwise
    : match(preferred, available, otherwise, { algorithm: 'best fit' })
}

function toTags(words: readonly string[]): string[] {
  return words.slice(0, MAX_TAGS).flatMap((word) => canonicalTag(word) ?? [])
}

function canonicalTag(word: string): string | undefined {
  try {
    // Without extensions: they would choose calendars and digits.
    return word === '' ? undefined : new Intl.Locale(word).baseName
  } catch {
    return undefined
  }
}
