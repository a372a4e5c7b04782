import { readFileSync, statSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { z } from 'zod'
import { LOG_FORMATS, LOG_LEVELS } from '../log.ts'
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS } from '../time.ts'
import { accentFault, type Scheme } from '../ui/brand/colors.ts'
import type { Color } from '../ui/brand/contrast.ts'
import { type Logo, parseLogo } from '../ui/brand/logo.ts'

export const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]'])
const MASTER_KEY_BYTES = 32

const WHEN_FULL = ['end-oldest', 'refuse'] as const
export type WhenFull = (typeof WHEN_FULL)[number]

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

/** A network this wide, or wider, is no proxy's and no operator's own: two halves make everybody. */
const WIDEST_PREFIX = { ipv4: 8, ipv6: 7 }
const isWithinReason = (list: readonly string[]) =>
  list.every((network) => {
    const [address = '', prefix] = network.split('/')
    const widest = isIP(address) === 6 ? WIDEST_PREFIX.ipv6 : WIDEST_PREFIX.ipv4
    return prefix === undefined || Number(prefix) >= widest
  })

const trustedProxies = networks.refine(isWithinReason, {
  message: 'must not trust nearly every address: anybody could then forge where a request came from',
})
const outboundNetworks = networks.refine(isWithinReason, {
  message: 'must not allow nearly every address: clients could then have us call anything inside',
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

/** The server that takes our mail; everything about TLS is decided here, nothing by the URL. */
export type SmtpServer = Readonly<{
  host: string
  port: number
  /** `always` from the first byte, `starttls` before anything is said, `never` on this machine alone. */
  tls: 'always' | 'starttls' | 'never'
  credentials: Readonly<{ user: string; password: string }> | undefined
}>

const smtpUrl = z.string().transform((value, context): SmtpServer => {
  const fault = (message: string) => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  const url = URL.parse(value)
  if (!url || !/^smtps?:$/.test(url.protocol) || url.hostname === '')
    return fault('must be an smtp:// or smtps:// URL such as smtps://user:password@mail.example.com')
  if (!/^\/?$/.test(url.pathname) || url.search || url.hash)
    return fault('must be a server alone: no path, query or fragment')
  if ((url.username === '') !== (url.password === ''))
    return fault('must have a user and a password, or neither')
  try {
    const credentials =
      url.username === ''
        ? undefined
        : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
    const isSecure = url.protocol === 'smtps:'
    const tls = isSecure ? 'always' : LOOPBACK_HOSTS.has(url.hostname) ? 'never' : 'starttls'
    const port = url.port === '' ? (isSecure ? 465 : 587) : Number(url.port)
    return { host: url.hostname.replace(/^\[|\]$/g, ''), port, tls, credentials }
  } catch {
    return fault('must have a user and password in percent-encoding')
  }
})

/** Whom mail comes from. */
export type Sender = Readonly<{ name: string | undefined; address: string }>

const sender = z.string().transform((value, context): Sender => {
  const [, name, address = ''] = /^(?:"?([^"<>\p{Cc}]*?)"?\s*<)?([^<>\s]+)>?$/u.exec(value.trim()) ?? []
  // As people configure it in development: `no-reply@localhost` has no dot.
  if (!/^[\w.+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(address)) {
    context.addIssue({
      code: 'custom',
      message: 'must be an address such as no-reply@example.com, or Name <no-reply@example.com>',
    })
    return z.NEVER
  }
  return { name: name?.trim() || undefined, address }
})

const onOrOff = z.enum(['on', 'off'], { error: 'must be on or off' }).transform((value) => value === 'on')

const databaseUrl = z.string().refine((value) => /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? ''), {
  message: 'must be a postgres:// URL',
})

const brandColor = (scheme: Scheme) =>
  z.string().transform((value, context) => {
    const color = value.toLowerCase()
    const fault = isColor(color) ? accentFault(color, scheme) : 'must be a colour such as #2746d8'
    if (isColor(color) && fault === undefined) return color
    context.addIssue({ code: 'custom', message: fault ?? '' })
    return z.NEVER
  })

const brandLogo = z.string().transform((path, context) => {
  const logo = readLogo(path)
  if (!('fault' in logo)) return logo
  context.addIssue({ code: 'custom', message: `${path} ${logo.fault}` })
  return z.NEVER
})

const folder = z
  .string()
  .refine((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false, {
    message: 'must be a folder',
  })

/**
 * Every setting: its schema, the default as docs/configuration.md shows it, and what it means.
 * `secret` gives it a `_FILE` twin.
 */
export const SETTINGS = {
  ISSUER: setting(
    issuer.optional(),
    '`http://localhost:4000` (with PORT, if that is set)',
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
    'Address of the private listener (health, metrics). Never expose it.',
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
    'Folder of the embedded database and its generated key. It belongs to the user that runs Sallyport, and no other user has permissions on it.',
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
    outboundNetworks.default([]),
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
    'How long a spent refresh token is answered with the very same tokens again, for answers that were lost; later use ends its family and session (0 to 60, 0: at once). Time in which the database was away does not count.',
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
  REMEMBER_ME_SECONDS: setting(
    seconds(0, 365 * DAY_SECONDS).default(30 * DAY_SECONDS),
    '`2592000` (30 days)',
    'How long a browser is remembered when a person ticks the box. `0` takes the box away and ends what was remembered (shared computers).',
  ),
  MAX_SESSIONS: setting(
    z.coerce
      .number({ error: 'must be a whole number from 0 to 1000' })
      .int('must be a whole number')
      .min(0, 'must be at least 0')
      .max(1000, 'must be at most 1000')
      .default(0),
    '`0` (any number)',
    'How many browsers a person may be signed in with at once. A client may have a limit of its own (`--max-sessions`).',
  ),
  MAX_SESSIONS_REACHED: setting(
    z.enum(WHEN_FULL, { error: `must be one of ${WHEN_FULL.join(', ')}` }).default('end-oldest'),
    '`end-oldest`',
    'What happens at that limit: `end-oldest` signs the oldest browser out, `refuse` turns the new one away.',
  ),
  BRAND_NAME: setting(
    z
      .string()
      .trim()
      .min(1)
      .max(60, 'must be at most 60 characters')
      .refine((value) => !/\p{Cc}/u.test(value), 'must be one line of text')
      .default('Sallyport'),
    '`Sallyport`',
    'What pages and mails call this service.',
  ),
  BRAND_LOGO_FILE: setting(
    brandLogo.optional(),
    'a gate',
    'SVG or PNG, at most 32 KB, shown 28 pixels high beside the name.',
  ),
  BRAND_COLOR: setting(
    brandColor('light').optional(),
    '`#2746d8`',
    'Accent of buttons and links in pages and mails, such as `#0b7a4b`. It must have a contrast of 4.5:1 to the page.',
  ),
  BRAND_COLOR_DARK: setting(
    brandColor('dark').optional(),
    'BRAND_COLOR, as light as it must be',
    'The same on dark pages.',
  ),
  TEMPLATES_DIR: setting(
    folder.optional(),
    'none',
    'Folder whose files take the place of those of the same path in `interactions/`: templates, the style sheet, messages (key by key), mails.',
  ),
  EVENT_RETENTION_SECONDS: setting(
    seconds(HOUR_SECONDS, 3650 * DAY_SECONDS).default(90 * DAY_SECONDS),
    '`7776000` (90 days)',
    'How long what happened stays on record (`sallyport events`).',
  ),
  SMTP_URL: setting(
    smtpUrl.optional(),
    'none: on localhost with the embedded database mail goes to `outbox` in DATA_DIR, else there is none',
    'Server that takes mail: `smtps://user:password@host`, or `smtp://`, where STARTTLS is required except on localhost. Certificates are verified.',
    { secret: true },
  ),
  MAIL_FROM: setting(
    sender.optional(),
    'BRAND_NAME, `no-reply@` and the host of ISSUER',
    'Whom mail comes from: `Name <address>`.',
  ),
  SELF_REGISTRATION: setting(
    onOrOff.default(false),
    '`off`',
    '`on` lets people make an account, whose e-mail address they prove by a mailed link. Needs mail.',
  ),
  PASSWORD_RESET: setting(
    onOrOff.optional(),
    '`on` when mail can be sent',
    '`on` lets people who forgot their password set another by a mailed link.',
  ),
  EMAIL_CHANGE: setting(
    onOrOff.optional(),
    '`on` when mail can be sent',
    '`on` lets people change and verify their e-mail address on the account page.',
  ),
}

/** Settings that may also be read from the file that NAME_FILE names. */
export const SECRET_NAMES = Object.entries(SETTINGS).flatMap(([name, { secret }]) => (secret ? [name] : []))

/** Every environment variable that is read. */
export const SETTING_NAMES = [...Object.keys(SETTINGS), ...SECRET_NAMES.map((name) => `${name}_FILE`)]

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

function isColor(value: string): value is Color {
  return /^#[0-9a-f]{6}$/.test(value)
}

function readLogo(path: string): Logo | { fault: string } {
  try {
    return parseLogo(readFileSync(path))
  } catch {
    return { fault: 'cannot be read' }
  }
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
