/**
 * Every setting: its schema, its default as docs/configuration.md shows it, and its meaning. `values.ts` parses single
 * values, `config.ts` turns the environment into a Config, `misspelled-settings.ts` finds names that nearly match.
 */
import { z } from 'zod'
import { LOG_FORMATS, LOG_LEVELS } from '../log.ts'
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS } from '../time.ts'
import {
  brandColor,
  brandLogo,
  brandName,
  databaseUrl,
  folder,
  issuer,
  masterKeys,
  networks,
  onOrOff,
  seconds,
  sender,
  smtpUrl,
  wholeNumber,
} from './values.ts'

const MAX_PORT = 65_535
const WHEN_FULL = ['end-oldest', 'refuse'] as const
export type WhenFull = (typeof WHEN_FULL)[number]

type Setting<Schema extends z.ZodType> = {
  schema: Schema
  byDefault: string
  meaning: string
  /** Whether the setting can also be read from the file that `NAME_FILE` names. */
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

const ADDRESS = {
  ISSUER: setting(
    issuer.optional(),
    '`http://localhost:4000` (with PORT, if that is set)',
    'Origin of the server as people and apps see it. Must be https, except on localhost.',
  ),
  HOST: setting(
    z.string().min(1).optional(),
    '`127.0.0.1` while ISSUER is on localhost, else every address',
    'Address of the public listener.',
  ),
  PORT: setting(wholeNumber(0, MAX_PORT).default(4000), '`4000`', 'Port of the public listener.'),
  MANAGEMENT_HOST: setting(
    z.string().min(1).default('127.0.0.1'),
    '`127.0.0.1`',
    'Address of the private listener (health, metrics). Never expose it.',
  ),
  MANAGEMENT_PORT: setting(wholeNumber(0, MAX_PORT).default(4001), '`4001`', 'Port of the private listener.'),
  TRUSTED_PROXIES: setting(
    networks(
      'must not trust nearly every address: any client could then forge the address of a request',
    ).default([]),
    'none',
    'Addresses or CIDR networks of reverse proxies, separated by commas. Only their X-Forwarded-For is believed.',
  ),
  OUTBOUND_ALLOWED_NETWORKS: setting(
    networks(
      'must not allow nearly every address: clients could then make the server call any internal address',
    ).default([]),
    'none',
    'Private CIDR networks that requests to clients’ URLs, such as jwks_uri, may reach, also over http.',
  ),
}

const DATABASE_AND_KEYS = {
  DATABASE_URL: setting(
    databaseUrl.optional(),
    'none: the embedded Postgres',
    'Postgres 15 or newer, as a postgres:// URL.',
    { secret: true },
  ),
  DATA_DIR: setting(
    z.string().min(1).default('./data'),
    '`./data`',
    'Folder of the embedded database and its generated key. The user that runs Sallyport owns it, and no other user may have permissions on it.',
  ),
  ENCRYPTION_KEY: setting(
    masterKeys.optional(),
    'generated into DATA_DIR on localhost',
    'Master key that seals secrets at rest: 32 bytes in base64. Several, newest first, separated by commas. Required with DATABASE_URL and outside localhost.',
    { secret: true },
  ),
}

const LIFETIMES = {
  ACCESS_TOKEN_SECONDS: setting(
    seconds(30, DAY_SECONDS).default(15 * MINUTE_SECONDS),
    '`900`',
    'Lifetime of a person’s access tokens.',
  ),
  REFRESH_TOKEN_IDLE_SECONDS: setting(
    seconds(60, 365 * DAY_SECONDS).default(14 * DAY_SECONDS),
    '`1209600` (14 days)',
    'Lifetime of a refresh token that is not used.',
  ),
  REFRESH_TOKEN_ABSOLUTE_SECONDS: setting(
    seconds(60, 365 * DAY_SECONDS).default(30 * DAY_SECONDS),
    '`2592000` (30 days)',
    'Lifetime of a family of rotated refresh tokens, used or not.',
  ),
  REFRESH_REPLAY_SECONDS: setting(
    seconds(0, 60).default(10),
    '`10`',
    'How long a spent refresh token gets the same response again, in case the first one was lost. Later use ends its family and session. 0 to 60; `0` allows no replay. Time without the database does not count.',
  ),
  SESSION_IDLE_SECONDS: setting(
    seconds(60, 30 * DAY_SECONDS).default(30 * MINUTE_SECONDS),
    '`1800` (30 minutes)',
    'Lifetime of a browser session that is not used.',
  ),
  SESSION_ABSOLUTE_SECONDS: setting(
    seconds(60, 30 * DAY_SECONDS).default(24 * HOUR_SECONDS),
    '`86400` (24 hours)',
    'Lifetime of a browser session from sign-in, used or not.',
  ),
  REMEMBER_ME_SECONDS: setting(
    seconds(0, 365 * DAY_SECONDS).default(30 * DAY_SECONDS),
    '`2592000` (30 days)',
    'How long a browser is remembered when a person ticks the box. `0` removes the box and forgets remembered browsers (shared computers).',
  ),
  EVENT_RETENTION_SECONDS: setting(
    seconds(HOUR_SECONDS, 3650 * DAY_SECONDS).default(90 * DAY_SECONDS),
    '`7776000` (90 days)',
    'How long audit events are kept (`sallyport events`).',
  ),
}

const SESSIONS = {
  MAX_SESSIONS: setting(
    wholeNumber(0, 1000).default(0),
    '`0` (any number)',
    'Number of browsers that a person may be signed in with at once. A client may have a lower limit (`--max-sessions`).',
  ),
  MAX_SESSIONS_REACHED: setting(
    z.enum(WHEN_FULL, { error: `must be one of ${WHEN_FULL.join(', ')}` }).default('end-oldest'),
    '`end-oldest`',
    'At that limit, `end-oldest` signs the oldest browser out, and `refuse` rejects the new sign-in.',
  ),
}

const MAIL_AND_SELF_SERVICE = {
  SMTP_URL: setting(
    smtpUrl.optional(),
    'none: on localhost with the embedded database mail is written to `outbox` in DATA_DIR, else there is none',
    'Server for outgoing mail: `smtps://user:password@host`, or `smtp://`, where STARTTLS is required except on localhost. Certificates are verified.',
    { secret: true },
  ),
  MAIL_FROM: setting(
    sender.optional(),
    'BRAND_NAME, `no-reply@` and the host of ISSUER',
    'Sender of mail: `Name <address>`.',
  ),
  SELF_REGISTRATION: setting(
    onOrOff.default(false),
    '`off`',
    '`on` lets people create an account. They verify their e-mail address by a mailed link. Needs mail.',
  ),
  PASSWORD_RESET: setting(
    onOrOff.optional(),
    '`on` when mail can be sent',
    '`on` lets people who forgot their password set a new one by a mailed link.',
  ),
  EMAIL_CHANGE: setting(
    onOrOff.optional(),
    '`on` when mail can be sent',
    '`on` lets people change and verify their e-mail address on the account page.',
  ),
}

const APPEARANCE = {
  BRAND_NAME: setting(
    brandName.default('Sallyport'),
    '`Sallyport`',
    'Name of the service on pages and in mails.',
  ),
  BRAND_LOGO_FILE: setting(
    brandLogo.optional(),
    'a gate',
    'SVG or PNG, at most 32 KB, shown 28 pixels high beside the name.',
  ),
  BRAND_COLOR: setting(
    brandColor('light').optional(),
    '`#2746d8`',
    'Colour of buttons and links on pages and in mails, such as `#0b7a4b`. Its contrast to the page must be at least 4.5:1.',
  ),
  BRAND_COLOR_DARK: setting(
    brandColor('dark').optional(),
    'BRAND_COLOR, lightened to the same contrast',
    'The same colour in dark mode.',
  ),
  TEMPLATES_DIR: setting(
    folder.optional(),
    'none',
    'Folder with files that replace those of the same path in `interactions/`: templates, style sheet, mails, and single messages.',
  ),
}

const LOG = {
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
}

export const SETTINGS = {
  ...ADDRESS,
  ...DATABASE_AND_KEYS,
  ...LIFETIMES,
  ...SESSIONS,
  ...MAIL_AND_SELF_SERVICE,
  ...APPEARANCE,
  ...LOG,
}

/** The settings by the headings of docs/configuration.md. */
export const SETTING_GROUPS = {
  Address: ADDRESS,
  'Database and keys': DATABASE_AND_KEYS,
  Lifetimes: LIFETIMES,
  Sessions: SESSIONS,
  'Mail and self-service': MAIL_AND_SELF_SERVICE,
  Appearance: APPEARANCE,
  Log: LOG,
}

export const SECRET_NAMES = Object.entries(SETTINGS).flatMap(([name, { secret }]) => (secret ? [name] : []))

/** Every environment variable that is read. */
export const SETTING_NAMES = [...Object.keys(SETTINGS), ...SECRET_NAMES.map((name) => `${name}_FILE`)]
