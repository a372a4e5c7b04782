import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import type { LogFormat, LogLevel } from '../log.ts'
import { isLoopback } from '../loopback.ts'
import { type Accents, toAccents } from '../ui/brand/colors.ts'
import type { Logo } from '../ui/brand/logo.ts'
import { findMisspelledSettings } from './misspelled-settings.ts'
import { SECRET_NAMES, SETTING_NAMES, SETTINGS, type WhenFull } from './settings.ts'
import type { Sender, SmtpServer } from './values.ts'

/** The configuration of the process: parsed once and frozen. Each part receives the values it needs, never all of it. */
export type Config = Readonly<{
  issuer: string
  /** Whether the issuer is on localhost (development). */
  isLocal: boolean
  listen: Readonly<{ host: string; port: number }>
  management: Readonly<{ host: string; port: number }>
  database: Readonly<{ kind: 'postgres'; url: string } | { kind: 'embedded' }>
  dataDir: string
  /** Newest first; undefined when a key is generated into dataDir (embedded database on localhost only). */
  masterKeys: readonly Buffer[] | undefined
  trustedProxies: readonly string[]
  outboundAllowedNetworks: readonly string[]
  maxSessions: number
  whenFull: WhenFull
  eventRetentionSeconds: number
  brand: Brand
  /** The operator's templates, messages and style sheet. */
  templatesDir: string | undefined
  log: Readonly<{ level: LogLevel; format: LogFormat | undefined }>
  lifetimes: Lifetimes
  mail: MailConfig
  offers: Offers
}>

export type Brand = Readonly<{ name: string; logo: Logo | undefined; accents: Accents | undefined }>

/**
 * How mail is sent: by an SMTP server, into a folder of the data folder (embedded database on localhost), or not at
 * all.
 */
export type MailConfig = Readonly<{ from: Sender }> &
  Readonly<{ by: 'smtp'; server: SmtpServer } | { by: 'folder'; folder: string } | { by: 'nothing' }>

/** Self-service features; each needs mail. */
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

/** 32 random bytes are nearly all distinct; a typed example key has few distinct bytes. */
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

type Environment = Readonly<Record<string, string | undefined>>
type Values = z.infer<typeof environmentSchema>
/** Values that several settings decide together. */
type Derived = { issuer: string; isLocal: boolean; canSendMail: boolean }

/**
 * Parses the settings of the process.
 *
 * @param env the environment of the process; empty values count as absent.
 * @throws {ConfigError} with all faults at once, including misspelled names.
 */
export function parseConfig(env: Environment): Config {
  const { texts, faults } = readTexts(env)
  const parsed = environmentSchema.safeParse(texts)
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) faults.push(`${String(path[0])} ${message}`)
    throw new ConfigError(faults)
  }
  const values = parsed.data
  const issuer = values.ISSUER ?? `http://localhost:${values.PORT}`
  const isLocal = isLoopback(new URL(issuer))
  // The mail folder is for development only: with a public issuer, recipients would wait for mail that stays on this
  // machine, with valid links in it.
  const canSendMail = values.SMTP_URL !== undefined || (values.DATABASE_URL === undefined && isLocal)
  const derived = { issuer, isLocal, canSendMail }
  faults.push(...findConflicts(values, derived))
  if (faults.length > 0) throw new ConfigError(faults)
  return deepFreeze(toConfig(values, derived))
}

/** The values of all settings, as text. Secrets are read from their files. */
function readTexts(env: Environment): { texts: Record<string, string>; faults: string[] } {
  const faults = findMisspelledSettings(env, SETTING_NAMES)
  const texts: Record<string, string> = {}
  for (const name of Object.keys(SETTINGS)) {
    const value = env[name]
    if (value) texts[name] = value
  }
  for (const name of SECRET_NAMES) {
    const file = env[`${name}_FILE`]
    if (!file) continue
    if (texts[name]) faults.push(`${name} and ${name}_FILE are both set: choose one`)
    try {
      texts[name] = readFileSync(file, 'utf8').trim()
    } catch {
      faults.push(`${name}_FILE: cannot read ${file}`)
    }
  }
  return { texts, faults }
}

/** Faults of settings that are valid alone, but not together. */
function findConflicts(values: Values, { isLocal, canSendMail }: Derived): string[] {
  const { ENCRYPTION_KEY: keys, SELF_REGISTRATION, PASSWORD_RESET, EMAIL_CHANGE } = values
  const areKeysRequired = values.DATABASE_URL !== undefined || !isLocal
  const areKeysTyped = !isLocal && keys?.some((key) => new Set(key).size < FEWEST_DISTINCT_BYTES)
  const selfService = Object.entries({ SELF_REGISTRATION, PASSWORD_RESET, EMAIL_CHANGE })
  return [
    !keys &&
      areKeysRequired &&
      'ENCRYPTION_KEY is required with DATABASE_URL and outside localhost (make one with: openssl rand -base64 32)',
    areKeysTyped && 'ENCRYPTION_KEY was not made at random (make one with: openssl rand -base64 32)',
    values.REFRESH_TOKEN_IDLE_SECONDS > values.REFRESH_TOKEN_ABSOLUTE_SECONDS &&
      'REFRESH_TOKEN_IDLE_SECONDS must not exceed REFRESH_TOKEN_ABSOLUTE_SECONDS',
    values.SESSION_IDLE_SECONDS > values.SESSION_ABSOLUTE_SECONDS &&
      'SESSION_IDLE_SECONDS must not exceed SESSION_ABSOLUTE_SECONDS',
    values.BRAND_COLOR_DARK && !values.BRAND_COLOR && 'BRAND_COLOR_DARK needs BRAND_COLOR beside it',
    // A feature that is on by default is off without mail; only an explicit `on` is a fault.
    ...selfService.map(([name, isOn]) => isOn && !canSendMail && `${name} needs mail: set SMTP_URL`),
  ].filter((message) => typeof message === 'string')
}

function toConfig(values: Values, { issuer, isLocal, canSendMail }: Derived): Config {
  const dataDir = resolve(values.DATA_DIR)
  return {
    issuer,
    isLocal,
    listen: { host: values.HOST ?? (isLocal ? '127.0.0.1' : '::'), port: values.PORT },
    management: { host: values.MANAGEMENT_HOST, port: values.MANAGEMENT_PORT },
    database: values.DATABASE_URL ? { kind: 'postgres', url: values.DATABASE_URL } : { kind: 'embedded' },
    dataDir,
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
      from: values.MAIL_FROM ?? { name: values.BRAND_NAME, address: `no-reply@${new URL(issuer).hostname}` },
      ...(values.SMTP_URL
        ? { by: 'smtp', server: values.SMTP_URL }
        : canSendMail
          ? { by: 'folder', folder: join(dataDir, 'outbox') }
          : { by: 'nothing' }),
    },
    offers: {
      registration: values.SELF_REGISTRATION,
      passwordReset: values.PASSWORD_RESET ?? canSendMail,
      emailChange: values.EMAIL_CHANGE ?? canSendMail,
    },
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null && !Buffer.isBuffer(member)) deepFreeze(member)
  }
  return Object.freeze(value)
}
