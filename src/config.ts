import { readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { resolve } from 'node:path'
import { distance } from 'fastest-levenshtein'
import { z } from 'zod'
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS } from './time.ts'

const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]'])
const MASTER_KEY_BYTES = 32

/** What the whole process runs by: parsed once, frozen, handed on in parts. All lengths of time are seconds. */
export type Config = Readonly<{
  issuer: string
  /** The issuer is reached over plain http on this machine only (development). */
  isLocal: boolean
  listen: Readonly<{ host: string; port: number }>
  management: Readonly<{ host: string; port: number }>
  database: Readonly<{ kind: 'postgres'; url: string } | { kind: 'embedded' }>
  dataDir: string
  /** Newest first; undefined means: generated into dataDir (embedded database on localhost only). */
  masterKeys: readonly Buffer[] | undefined
  trustedProxies: readonly string[]
  outboundAllowedNetworks: readonly string[]
  log: Readonly<{ level: LogLevel; format: LogFormat | undefined }>
  lifetimes: Lifetimes
}>

export type Lifetimes = Readonly<{
  accessTokenSeconds: number
  refreshTokenIdleSeconds: number
  refreshTokenAbsoluteSeconds: number
  refreshReplaySeconds: number
  sessionIdleSeconds: number
  sessionAbsoluteSeconds: number
}>

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const LOG_FORMATS = ['json', 'pretty'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogFormat = (typeof LOG_FORMATS)[number]

/** Thrown by {@link parseConfig}: every fault of the environment, in one message. */
export class ConfigError extends Error {
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(
      `The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    )
    this.name = 'ConfigError'
    this.faults = faults
  }
}

const port = z.coerce
  .number('must be a number')
  .int()
  .min(0, 'must be 0 to 65535')
  .max(65535, 'must be 0 to 65535')
const seconds = (least: number, most: number) =>
  z.coerce
    .number('must be a whole number of seconds')
    .int('must be a whole number of seconds')
    .min(least, `must be at least ${least} seconds`)
    .max(most, `must be at most ${most} seconds`)

const issuer = z.string().transform((value, context) => {
  const fault = (message: string) => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  const url = URL.parse(value)
  if (!url || !/^https?:$/.test(url.protocol))
    return fault('must be an http(s) URL such as https://login.example.com')
  if (url.pathname !== '/' || url.search || url.hash || url.username || url.password) {
    return fault('must be an origin alone: no path, query, fragment or credentials')
  }
  if (url.protocol === 'http:' && !LOOPBACK_HOSTS.has(url.hostname)) {
    return fault('must use https, except on localhost')
  }
  return url.origin
})

const networks = z.string().transform((value, context) => {
  const list = splitList(value)
  for (const network of list) {
    const fault = networkFault(network)
    if (fault) context.addIssue({ code: 'custom', message: `${network}: ${fault}` })
  }
  return list
})

const trustedProxies = networks.refine((list) => !list.some((network) => network.endsWith('/0')), {
  message: 'must not trust every address (/0): anybody could then forge where a request came from',
})

const masterKeys = z.string().transform((value, context) => {
  const keys = splitList(value).map((key) => Buffer.from(key, 'base64'))
  if (keys.length === 0 || keys.some((key) => key.length !== MASTER_KEY_BYTES)) {
    context.addIssue({
      code: 'custom',
      message:
        'must be 32 bytes in base64 (make one with: openssl rand -base64 32); several, newest first, separated by commas',
    })
  }
  return keys
})

const databaseUrl = z.string().refine((value) => /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? ''), {
  message: 'must be a postgres:// URL',
})

/**
 * Every setting: its schema, the default as the table in README shows it, and what it means.
 * `secret` gives it a `_FILE` twin.
 */
const SETTINGS = {
  ISSUER: setting(
    issuer.optional(),
    '`http://localhost:4000`',
    'The origin people and apps reach Sallyport at. Must be https, except on localhost.',
  ),
  HOST: setting(
    z.string().min(1).optional(),
    '`127.0.0.1` while ISSUER is on localhost, else every address',
    'Address the public listener binds.',
  ),
  PORT: setting(port.default(4000), '`4000`', 'Port of the public listener.'),
  MANAGEMENT_HOST: setting(
    z.string().min(1).default('127.0.0.1'),
    '`127.0.0.1`',
    'Address of the private listener (health). Never expose it.',
  ),
  MANAGEMENT_PORT: setting(port.default(4001), '`4001`', 'Port of the private listener.'),
  DATABASE_URL: setting(
    databaseUrl.optional(),
    'none: the embedded Postgres',
    'Postgres 15 or newer, as a postgres:// URL.',
    { secret: true },
  ),
  DATA_DIR: setting(
    z.string().min(1).default('./data'),
    '`./data`',
    'Folder of the embedded database and its generated key.',
  ),
  ENCRYPTION_KEY: setting(
    masterKeys.optional(),
    'generated into DATA_DIR on localhost',
    'Master key that seals secrets at rest: 32 bytes in base64. Several, newest first, separated by commas. Required with DATABASE_URL and outside localhost.',
    { secret: true },
  ),
  TRUSTED_PROXIES: setting(
    trustedProxies.default([]),
    'none',
    'Comma-separated addresses or CIDR networks whose X-Forwarded-For is believed.',
  ),
  OUTBOUND_ALLOWED_NETWORKS: setting(
    networks.default([]),
    'none',
    'Private networks (CIDR) that requests to clients’ own URLs, such as jwks_uri, may reach; http is accepted there too.',
  ),
  LOG_LEVEL: setting(
    z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` }).default('info'),
    '`info`',
    `One of ${LOG_LEVELS.join(', ')}.`,
  ),
  LOG_FORMAT: setting(
    z.enum(LOG_FORMATS, { error: 'must be json or pretty' }).optional(),
    '`pretty` on a terminal, else `json`',
    '`json` (one object a line) or `pretty`.',
  ),
  ACCESS_TOKEN_SECONDS: setting(
    seconds(30, DAY_SECONDS).default(15 * MINUTE_SECONDS),
    '`900`',
    'Lifetime of a person’s access tokens.',
  ),
  REFRESH_TOKEN_IDLE_SECONDS: setting(
    seconds(60, 365 * DAY_SECONDS).default(14 * DAY_SECONDS),
    '`1209600` (14 days)',
    'A refresh token unused this long ends.',
  ),
  REFRESH_TOKEN_ABSOLUTE_SECONDS: setting(
    seconds(60, 365 * DAY_SECONDS).default(30 * DAY_SECONDS),
    '`2592000` (30 days)',
    'A family of rotated refresh tokens ends after this, used or not.',
  ),
  REFRESH_REPLAY_SECONDS: setting(
    seconds(0, 60).default(10),
    '`10`',
    'How long after its use a spent refresh token is refused without ending its family (0 to 60).',
  ),
  SESSION_IDLE_SECONDS: setting(
    seconds(60, 30 * DAY_SECONDS).default(30 * MINUTE_SECONDS),
    '`1800` (30 minutes)',
    'A browser session unused this long ends.',
  ),
  SESSION_ABSOLUTE_SECONDS: setting(
    seconds(60, 30 * DAY_SECONDS).default(24 * HOUR_SECONDS),
    '`86400` (24 hours)',
    'A browser session ends this long after sign-in, used or not.',
  ),
}

type Setting<Schema extends z.ZodType> = {
  schema: Schema
  byDefault: string
  meaning: string
  secret: boolean
}

function setting<Schema extends z.ZodType>(
  schema: Schema,
  byDefault: string,
  meaning: string,
  { secret = false } = {},
): Setting<Schema> {
  return { schema, byDefault, meaning, secret }
}

const environmentSchema = z.object(
  Object.fromEntries(Object.entries(SETTINGS).map(([name, { schema }]) => [name, schema])) as {
    [Name in keyof typeof SETTINGS]: (typeof SETTINGS)[Name]['schema']
  },
)

const SECRET_NAMES = Object.entries(SETTINGS).flatMap(([name, { secret }]) => (secret ? [name] : []))
const KNOWN_NAMES = [...Object.keys(SETTINGS), ...SECRET_NAMES.map((name) => `${name}_FILE`)]

/**
 * Reads the settings of the process from its environment.
 *
 * @param env the environment of the process; empty values count as absent.
 * @throws {ConfigError} naming every fault at once, near-misses of known names included.
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults = nearMisses(env)
  const given: Record<string, string> = {}
  for (const name of Object.keys(SETTINGS)) {
    const value = env[name]
    if (value) given[name] = value
  }
  for (const name of SECRET_NAMES) {
    const file = env[`${name}_FILE`]
    if (!file) continue
    if (given[name]) faults.push(`${name} and ${name}_FILE are both set: choose one`)
    try {
      given[name] = readFileSync(file, 'utf8').trim()
    } catch {
      faults.push(`${name}_FILE: cannot read ${file}`)
    }
  }

  const parsed = environmentSchema.safeParse(given)
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) faults.push(`${String(path[0])} ${message}`)
    throw new ConfigError(faults)
  }
  const values = parsed.data
  const issuerOrigin = values.ISSUER ?? `http://localhost:${values.PORT}`
  const isLocal = LOOPBACK_HOSTS.has(new URL(issuerOrigin).hostname)
  if (!values.ENCRYPTION_KEY && (values.DATABASE_URL || !isLocal)) {
    faults.push(
      'ENCRYPTION_KEY is required with DATABASE_URL and outside localhost (make one with: openssl rand -base64 32)',
    )
  }
  if (values.REFRESH_TOKEN_IDLE_SECONDS > values.REFRESH_TOKEN_ABSOLUTE_SECONDS) {
    faults.push('REFRESH_TOKEN_IDLE_SECONDS must not exceed REFRESH_TOKEN_ABSOLUTE_SECONDS')
  }
  if (values.SESSION_IDLE_SECONDS > values.SESSION_ABSOLUTE_SECONDS) {
    faults.push('SESSION_IDLE_SECONDS must not exceed SESSION_ABSOLUTE_SECONDS')
  }
  if (faults.length > 0) throw new ConfigError(faults)

  return deepFreeze({
    issuer: issuerOrigin,
    isLocal,
    listen: { host: values.HOST ?? (isLocal ? '127.0.0.1' : '::'), port: values.PORT },
    management: { host: values.MANAGEMENT_HOST, port: values.MANAGEMENT_PORT },
    database: values.DATABASE_URL ? { kind: 'postgres', url: values.DATABASE_URL } : { kind: 'embedded' },
    dataDir: resolve(values.DATA_DIR),
    masterKeys: values.ENCRYPTION_KEY,
    trustedProxies: values.TRUSTED_PROXIES,
    outboundAllowedNetworks: values.OUTBOUND_ALLOWED_NETWORKS,
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT },
    lifetimes: {
      accessTokenSeconds: values.ACCESS_TOKEN_SECONDS,
      refreshTokenIdleSeconds: values.REFRESH_TOKEN_IDLE_SECONDS,
      refreshTokenAbsoluteSeconds: values.REFRESH_TOKEN_ABSOLUTE_SECONDS,
      refreshReplaySeconds: values.REFRESH_REPLAY_SECONDS,
      sessionIdleSeconds: values.SESSION_IDLE_SECONDS,
      sessionAbsoluteSeconds: values.SESSION_ABSOLUTE_SECONDS,
    },
  })
}

/** The table of README's chapter "Configuration", as Markdown. */
export function configurationTable(): string {
  const rows = Object.entries(SETTINGS).map(
    ([name, { byDefault, meaning, secret }]) =>
      `| \`${name}\`${secret ? ` or \`${name}_FILE\`` : ''} | ${byDefault} | ${meaning} |`,
  )
  return ['| Setting | Default | Meaning |', '|---|---|---|', ...rows].join('\n')
}

function nearMisses(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.keys(env).flatMap((name) => {
    if (KNOWN_NAMES.includes(name)) return []
    const meant = KNOWN_NAMES.find(
      (known) => distance(name, known) <= (Math.min(name.length, known.length) < 6 ? 1 : 2),
    )
    // HOME is no misspelt HOST: names that short are a near-miss only at a distance of one.
    return meant ? [`${name} is not a setting: did you mean ${meant}?`] : []
  })
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)
}

function networkFault(network: string): string | undefined {
  const [address = '', prefix, ...rest] = network.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return 'not an IP address or CIDR network'
  if (prefix === undefined) return undefined
  try {
    new BlockList().addSubnet(
      address,
      /^\d+$/.test(prefix) ? Number(prefix) : -1,
      family === 6 ? 'ipv6' : 'ipv4',
    )
    return undefined
  } catch {
    return 'not a valid prefix length'
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null && !Buffer.isBuffer(member)) deepFreeze(member)
  }
  return Object.freeze(value)
}
