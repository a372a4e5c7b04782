import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import type { LogFormat, LogLevel } from '../log.ts'
import { type Accents, toAccents } from '../ui/brand/colors.ts'
import type { Logo } from '../ui/brand/logo.ts'
import { nearMisses } from './misspelled-settings.ts'
import {
  LOOPBACK_HOSTS,
  SECRET_NAMES,
  SETTING_NAMES,
  SETTINGS,
  type Sender,
  type SmtpServer,
  type WhenFull,
} from './settings.ts'

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
  maxSessions: number
  whenFull: WhenFull
  eventRetentionSeconds: number
  brand: Brand
  /** The operator's folder of what people see. */
  templatesDir: string | undefined
  log: Readonly<{ level: LogLevel; format: LogFormat | undefined }>
  lifetimes: Lifetimes
  mail: MailConfig
  offers: Offers
}>

/** How the service presents itself. */
export type Brand = Readonly<{ name: string; logo: Logo | undefined; accents: Accents | undefined }>

/**
 * How mail is sent: by an SMTP server, into a folder of the data folder (embedded database on localhost), or not at
 * all.
 */
export type MailConfig = Readonly<{ from: Sender }> &
  Readonly<{ by: 'smtp'; server: SmtpServer } | { by: 'folder'; folder: string } | { by: 'nothing' }>

/** What people may do by themselves; each needs mail. */
export type Offers = Readonly<{ registration: boolean; passwordReset: boolean; emailChange: boolean }>

export type Lifetimes = Readonly<{
  accessTokenSeconds: number
  refreshTokenIdleSeconds: number
  refreshTokenAbsoluteSeconds: number
  refreshReplaySeconds: number
  sessionIdleSeconds: number
  sessionAbsoluteSeconds: number
  rememberMeSeconds: number
}>

/** Of 32 random bytes hardly two are the same; a key that somebody typed for an example has few. */
const FEWEST_DISTINCT_BYTES = 8

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

const environmentSchema = z.object(
  Object.fromEntries(Object.entries(SETTINGS).map(([name, { schema }]) => [name, schema])) as {
    [Name in keyof typeof SETTINGS]: (typeof SETTINGS)[Name]['schema']
  },
)

/**
 * Reads the settings of the process from its environment.
 *
 * @param env the environment of the process; empty values count as absent.
 * @throws {ConfigError} naming every fault at once, near-misses of known names included.
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults = nearMisses(env, SETTING_NAMES)
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
  if (!isLocal && values.ENCRYPTION_KEY?.some((key) => new Set(key).size < FEWEST_DISTINCT_BYTES))
    faults.push('ENCRYPTION_KEY was not made at random (make one with: openssl rand -base64 32)')
  if (values.REFRESH_TOKEN_IDLE_SECONDS > values.REFRESH_TOKEN_ABSOLUTE_SECONDS) {
    faults.push('REFRESH_TOKEN_IDLE_SECONDS must not exceed REFRESH_TOKEN_ABSOLUTE_SECONDS')
  }
  if (values.BRAND_COLOR_DARK && !values.BRAND_COLOR) {
    faults.push('BRAND_COLOR_DARK needs BRAND_COLOR beside it')
  }
  if (values.SESSION_IDLE_SECONDS > values.SESSION_ABSOLUTE_SECONDS) {
    faults.push('SESSION_IDLE_SECONDS must not exceed SESSION_ABSOLUTE_SECONDS')
  }
  const { SMTP_URL, DATABASE_URL, SELF_REGISTRATION, PASSWORD_RESET, EMAIL_CHANGE } = values
  // The folder is for development only: with a public issuer, recipients would wait for mail that stays on this
  // machine, with valid links in it.
  const canWriteMail = DATABASE_URL === undefined && isLocal
  const canMail = SMTP_URL !== undefined || canWriteMail
  if (!canMail) {
    // What is asked for by name and cannot be is a fault; what is on by default is off instead.
    for (const [name, isOn] of Object.entries({ SELF_REGISTRATION, PASSWORD_RESET, EMAIL_CHANGE }))
      if (isOn) faults.push(`${name} needs mail: set SMTP_URL`)
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
    maxSessions: values.MAX_SESSIONS,
    whenFull: values.MAX_SESSIONS_REACHED,
    eventRetentionSeconds: values.EVENT_RETENTION_SECONDS,
    brand: {
      name: values.BRAND_NAME,
      logo: values.BRAND_LOGO_FILE,
      accents: values.BRAND_COLOR && toAccents(values.BRAND_COLOR, values.BRAND_COLOR_DARK),
    },
    templatesDir: values.TEMPLATES_DIR && resolve(values.TEMPLATES_DIR),
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT },
    lifetimes: {
      accessTokenSeconds: values.ACCESS_TOKEN_SECONDS,
      refreshTokenIdleSeconds: values.REFRESH_TOKEN_IDLE_SECONDS,
      refreshTokenAbsoluteSeconds: values.REFRESH_TOKEN_ABSOLUTE_SECONDS,
      refreshReplaySeconds: values.REFRESH_REPLAY_SECONDS,
      sessionIdleSeconds: values.SESSION_IDLE_SECONDS,
      sessionAbsoluteSeconds: values.SESSION_ABSOLUTE_SECONDS,
      rememberMeSeconds: values.REMEMBER_ME_SECONDS,
    },
    mail: {
      from: values.MAIL_FROM ?? {
        name: values.BRAND_NAME,
        address: `no-reply@${new URL(issuerOrigin).hostname}`,
      },
      ...(SMTP_URL
        ? { by: 'smtp', server: SMTP_URL }
        : canMail
          ? { by: 'folder', folder: join(resolve(values.DATA_DIR), 'outbox') }
          : { by: 'nothing' }),
    },
    offers: {
      registration: SELF_REGISTRATION,
      passwordReset: PASSWORD_RESET ?? canMail,
      emailChange: EMAIL_CHANGE ?? canMail,
    },
  })
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null && !Buffer.isBuffer(member)) deepFreeze(member)
  }
  return Object.freeze(value)
}
