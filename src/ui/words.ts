import { IntlMessageFormat } from 'intl-messageformat'

type Element = ReturnType<IntlMessageFormat['getAst']>[number]

/** The arguments of a message. Numbers select plural forms; `link` is the URL of the message's `<link>`. */
export type Values = Readonly<Record<string, string | number | Date | undefined>>

/** The messages of one language, as templates use them. */
export type Words = Readonly<{
  /** A language tag, for `lang`. */
  lang: string
  dir: 'ltr' | 'rtl'
  has: (key: string) => boolean
  /** A message as text, not escaped. */
  t: (key: string, values?: Values) => string
  /**
   * A message as HTML. Strings are escaped and isolated from the writing direction around them; a Date becomes `<time>`,
   * `<b>` becomes `<strong>`, and `<link>` becomes a link to the argument `link`.
   */
  html: (key: string, values?: Values) => string
  /** An instant as HTML, in UTC: a page without scripts does not know the time zone. */
  time: (at: Date) => string
}>

/** An argument with a text form, which selects a message's variants, and an HTML form. */
class Argument {
  readonly text: string
  readonly html: string
  constructor(text: string, html: string) {
    this.text = text
    this.html = html
  }
  toString(): string {
    return this.text
  }
}

type Chunk = string | Argument

/**
 * @param messages all messages of the language.
 * @throws with the key of a message that is not in ICU syntax.
 */
export function createWords(lang: string, messages: ReadonlyMap<string, string>): Words {
  const instant = new Intl.DateTimeFormat(lang === 'en' ? 'en-GB' : lang, INSTANT)
  const compiled = new Map([...messages].map(([key, message]) => [key, compile(key, message, lang)]))
  const inHtml = new Map<string, IntlMessageFormat>()

  const find = (key: string): IntlMessageFormat => {
    const message = compiled.get(key)
    if (!message) throw new Error(`there is no message ${key}`)
    return message
  }
  const findInHtml = (key: string): IntlMessageFormat => {
    const known = inHtml.get(key)
    if (known) return known
    const message = new IntlMessageFormat(find(key).getAst().map(escapeElement), lang)
    inHtml.set(key, message)
    return message
  }
  const time = (at: Date): string =>
    `<time datetime="${at.toISOString()}">${escapeHtml(instant.format(at))}</time>`

  return {
    lang,
    dir: directionOf(lang),
    has: (key) => compiled.has(key),
    t(key, values = {}) {
      const plain = mapValues(values, (value) => (value instanceof Date ? instant.format(value) : value))
      const join = (chunks: string[]) => chunks.join('')
      return [find(key).format<string>({ ...plain, b: join, link: join })].flat().join('')
    },
    html(key, { link, ...values } = {}) {
      const marked = mapValues(values, (value) =>
        value instanceof Date
          ? new Argument(value.toISOString(), time(value))
          : typeof value === 'string'
            ? new Argument(value, `<bdi>${escapeHtml(value)}</bdi>`)
            : value,
      )
      const toHtml = (chunks: Chunk[]) =>
        chunks.map((chunk) => (chunk instanceof Argument ? chunk.html : chunk)).join('')
      const message = findInHtml(key).format<Chunk>({
        ...marked,
        b: (chunks) => `<strong>${toHtml(chunks)}</strong>`,
        link: (chunks) =>
          link === undefined
            ? toHtml(chunks)
            : `<a href="${escapeHtml(String(link))}" rel="noreferrer">${toHtml(chunks)}</a>`,
      })
      return toHtml([message].flat())
    },
    time,
  }
}

/** TypeScript's library types do not include Intl.Locale Info yet. */
type LocaleWithTextInfo = Intl.Locale & { getTextInfo: () => { direction?: 'ltr' | 'rtl' } }

function directionOf(lang: string): 'ltr' | 'rtl' {
  const { direction = 'ltr' } = (new Intl.Locale(lang) as LocaleWithTextInfo).getTextInfo()
  return direction
}

const INSTANT = {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZone: 'UTC',
  timeZoneName: 'short',
} as const

function compile(key: string, message: string, lang: string): IntlMessageFormat {
  try {
    return new IntlMessageFormat(message, lang)
  } catch (error) {
    throw new Error(`${lang}.json: ${key}: ${error instanceof Error ? error.message : error}`)
  }
}

/** Escapes the text of a message itself, which may contain `&`. */
function escapeElement(element: Element): Element {
  if ('children' in element) return { ...element, children: element.children.map(escapeElement) }
  if ('options' in element) {
    const options = Object.entries(element.options).map(([name, option]) => [
      name,
      { ...option, value: option.value.map(escapeElement) },
    ])
    return { ...element, options: Object.fromEntries(options) }
  }
  return isLiteral(element) ? { ...element, value: escapeHtml(element.value) } : element
}

/** The parser's number of a text element; its enumeration is not exported by this package. */
function isLiteral(element: Element): element is Extract<Element, { type: 0 }> {
  return element.type === 0
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

function mapValues<From, To>(values: Readonly<Record<string, From>>, map: (value: From) => To) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]))
}
