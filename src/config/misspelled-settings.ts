import { distance } from 'fastest-levenshtein'

type Environment = Readonly<Record<string, string | undefined>>
type Known = { env: Environment; settings: readonly string[] }

const PREFIX = 'SALLYPORT_'
/** Shorter names must be within one edit: HOME is not a misspelled HOST. */
const SHORT_NAME = 6

/** Common synonyms of the words in setting names, in the singular. */
const SYNONYMS = byName({
  DATABASE: ['DB', 'PG', 'PSQL', 'POSTGRE', 'POSTGRESQL'],
  URL: ['URI', 'DSN'],
  MAIL: ['SMTP', 'EMAIL', 'MAILER'],
  FROM: ['SENDER'],
  DIR: ['DIRECTORY', 'FOLDER', 'PATH'],
  SECOND: ['TTL', 'SEC', 'LIFETIME', 'TIMEOUT', 'EXPIRY'],
  LEVEL: ['LVL'],
  COLOR: ['COLOUR'],
  HOST: ['ADDR', 'ADDRESS'],
  TRUSTED: ['TRUST'],
  REGISTRATION: ['SIGNUP'],
})

/** Common names of settings with other words, in canonical form. */
const ALIASES = byName({
  ISSUER: ['ISSUER_URL', 'ISSUER_BASE_URL', 'OIDC_ISSUER', 'OIDC_ISSUER_URL'],
  DATABASE_URL: ['DATABASE_CONNECTION_STRING'],
  ENCRYPTION_KEY: ['ENCRYPTION_SECRET', 'MASTER_ENCRYPTION_KEY'],
  SMTP_URL: ['MAIL_HOST', 'MAIL_SERVER'],
  SESSION_IDLE_SECONDS: ['SESSION_SECOND'],
  REFRESH_TOKEN_ABSOLUTE_SECONDS: ['REFRESH_TOKEN_SECOND'],
  SELF_REGISTRATION: ['REGISTRATION'],
})

/**
 * Finds variables whose names resemble a setting, because a misspelled setting would silently keep its default. A
 * variable of another program is ignored once the setting that it resembles is set.
 *
 * @param settings the names of all settings, with the `_FILE` names of secrets.
 * @returns one message per variable.
 */
export function findMisspelledSettings(env: Environment, settings: readonly string[]): string[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!value || settings.includes(name) || isServiceLink(value)) return []
    const intended = findIntended(name, value, { env, settings })
    return intended === undefined ? [] : [`${name} is not a setting: did you mean ${intended}?`]
  })
}

/** Kubernetes and Docker set SALLYPORT_PORT=tcp://10.0.0.1:4000 beside a Service of that name. */
function isServiceLink(value: string): boolean {
  return /^(tcp|udp|sctp):\/\//.test(value)
}

function findIntended(name: string, value: string, { env, settings }: Known): string | undefined {
  const sameWords = findSameWords(name, settings)
  if (sameWords !== undefined) return env[sameWords] === value ? undefined : sameWords
  const synonym = findSynonym(name, value, settings)
  if (synonym !== undefined) return isSet(synonym, env) ? undefined : synonym
  return findByDistance(name, settings)
}

function isSet(setting: string, env: Environment): boolean {
  return Boolean(env[setting] || env[`${setting}_FILE`] || env[setting.replace(/_FILE$/, '')])
}

function findByDistance(name: string, settings: readonly string[]): string | undefined {
  // Settings are upper case, so a lower-case name resembles one by chance.
  if (name !== name.toUpperCase()) return undefined
  const typed = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name
  return settings.find(
    (setting) =>
      distance(typed, setting) <= (Math.min(typed.length, setting.length) < SHORT_NAME ? 1 : 2) ||
      isTransposed(typed, setting),
  )
}

/** Whether two neighbouring characters are transposed, which the distance counts as two edits. */
function isTransposed(name: string, setting: string): boolean {
  if (name.length !== setting.length) return false
  const first = [...name].findIndex((character, index) => character !== setting[index])
  const swapped = `${name.slice(0, first)}${name[first + 1]}${name[first]}${name.slice(first + 2)}`
  return first >= 0 && swapped === setting
}

/**
 * Finds a setting with the same words: in another case, order or number, with other separators, with the
 * prefix `SALLYPORT_` or the suffix `_FILE`.
 */
function findSameWords(name: string, settings: readonly string[]): string | undefined {
  const words = wordsOf(name)
  const withoutFile = words.at(-1) === 'FILE' ? words.slice(0, -1) : words
  return (
    settings.find((setting) => areSame(words, wordsOf(setting))) ??
    settings.find((setting) => areSame(withoutFile, wordsOf(setting)))
  )
}

/** Finds a setting by synonyms, or without its unit. */
function findSynonym(name: string, value: string, settings: readonly string[]): string | undefined {
  const words = wordsOf(name).map(toCanonical)
  const alias = ALIASES[words.join('_')]
  if (alias !== undefined) return alias
  return settings.find((setting) => {
    const known = wordsOf(setting).map(toCanonical)
    if (words.length > 1 && areSame(words, known)) return true
    const unit = known.at(-1)
    const isOfUnit = unit === 'SECOND' ? /^\d+\s*[a-z]*$/i : unit === 'URL' ? /^[a-z]+:\/\// : undefined
    return isOfUnit?.test(value) === true && areSame(words, known.slice(0, -1))
  })
}

/** The words of a name in upper case and singular, without the prefix: `sallyport.trustedProxies` is TRUSTED, PROXY. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')
    .replace(new RegExp(`^${PREFIX}`), '')
    .split('_')
    .map((word) => word.replace(/IES$/, 'Y').replace(/([^S])S$/, '$1'))
}

/** Inverts a table: the key of each listed name. */
function byName(table: Readonly<Record<string, readonly string[]>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(table).flatMap(([key, names]) => names.map((name) => [name, key])))
}

function toCanonical(word: string): string {
  return SYNONYMS[word] ?? word
}

function areSame(words: readonly string[], others: readonly string[]): boolean {
  return words.join('') === others.join('') || words.toSorted().join('_') === others.toSorted().join('_')
}
