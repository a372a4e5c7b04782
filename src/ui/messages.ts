import { match } from '@formatjs/intl-localematcher'
import { z } from 'zod'
import type { Log } from '../log.ts'
import type { InteractionFiles } from './files.ts'
import { createWords, type Words } from './words.ts'

const FALLBACK = 'en'
/** Enough for every browser; matching takes time for each tag. */
const MAX_TAGS = 20

const catalogue = z.record(z.string(), z.string().min(1))
type Catalogue = ReadonlyMap<string, string>

export type Messages = Readonly<{
  languages: readonly string[]
  has: (key: string) => boolean
  /** The messages for a reader who prefers these language tags, the best first. Invalid tags are ignored. */
  for: (preferred: readonly string[]) => Words
}>

/**
 * Reads and compiles every message of every language.
 *
 * A language of the operator may be incomplete: it falls back to English, and the missing keys are logged.
 *
 * @throws when one of our own languages differs from English in its keys; when a file is not a flat JSON object of
 *   texts; when a message is not in ICU syntax.
 */
export function loadMessages(files: InteractionFiles, { log }: { log: Pick<Log, 'warn'> }): Messages {
  const languages = files.list('.json').flatMap((path) => /^locales\/([\w-]+)\.json$/.exec(path)?.[1] ?? [])
  const own = readCatalogue(files, FALLBACK, 'readOwn')
  // An operator's templates may use new messages; those must exist in English.
  const english = new Map([...own, ...readCatalogue(files, FALLBACK, 'readOverride')])
  const words = new Map(
    languages.map((language) => {
      const ours = readCatalogue(files, language, 'readOwn')
      if (ours.size > 0) requireSameKeys(language, ours, own)
      const theirs = readCatalogue(files, language, 'readOverride')
      const unknown = [...theirs.keys()].filter((key) => !english.has(key))
      if (unknown.length > 0) log.warn({ event: 'messages.unknown', language, keys: unknown })
      const missing = [...english.keys()].filter((key) => !ours.has(key) && !theirs.has(key))
      if (missing.length > 0) log.warn({ event: 'messages.missing', language, keys: missing })
      return [language, createWords(language, new Map([...english, ...ours, ...theirs]))]
    }),
  )
  return {
    languages,
    has: (key) => english.has(key),
    for(preferred) {
      const chosen = words.get(chooseLanguage(preferred, languages)) ?? words.get(FALLBACK)
      if (!chosen) throw new Error('there are no English messages')
      return chosen
    },
  }
}

function readCatalogue(
  files: InteractionFiles,
  language: string,
  read: 'readOwn' | 'readOverride',
): Catalogue {
  const path = `locales/${language}.json`
  const file = files[read](path)
  if (!file) return new Map()
  const { success, data } = catalogue.safeParse(parseJson(path, file.toString('utf8')))
  if (!success) throw new Error(`${path} must be one flat JSON object of texts`)
  return new Map(Object.entries(data))
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : error}`)
  }
}

function requireSameKeys(language: string, own: Catalogue, english: Catalogue): void {
  const missing = [...english.keys()].filter((key) => !own.has(key))
  const unknown = [...own.keys()].filter((key) => !english.has(key))
  if (missing.length + unknown.length === 0) return
  throw new Error(
    `locales/${language}.json differs from en.json: lacks [${missing.join(', ')}], has beside it [${unknown.join(', ')}]`,
  )
}

/** The available language that suits a reader best. */
function chooseLanguage(preferred: readonly string[], available: readonly string[]): string {
  const tags = preferred.slice(0, MAX_TAGS).flatMap((tag) => canonicalTag(tag) ?? [])
  return tags.length === 0 ? FALLBACK : match(tags, available, FALLBACK, { algorithm: 'best fit' })
}

function canonicalTag(tag: string): string | undefined {
  try {
    // Extensions select calendars and digits, not a language.
    return new Intl.Locale(tag).baseName
  } catch {
    return undefined
  }
}
