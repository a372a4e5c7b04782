import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import pretty from 'pino-pretty'

export type Log = Logger

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export const LOG_FORMATS = ['json', 'pretty'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogFormat = (typeof LOG_FORMATS)[number]

/**
 * Header, parameter and field names whose values must never reach a log line, wherever a caller put them.
 * The rule is not to log them at all; this is the second door.
 */
const SECRET_FIELDS = new Set([
  'authorization',
  'cookie',
  'set-cookie',
  'password',
  'client_secret',
  'client_assertion',
  'code',
  'code_verifier',
  'device_code',
  'user_code',
  'access_token',
  'refresh_token',
  'id_token',
  'id_token_hint',
  'token',
  'request_uri',
])
const CENSORED = '[redacted]'

/** Lines leave together, this often at least: one write to stdout for each would cost more than making the line. */
const FLUSH_MILLISECONDS = 200
const FLUSH_BYTES = 8 * 1024

/** Opens the process' log: one line per event on stdout, secrets redacted. */
export function createLog(
  { level, format }: { level: LogLevel; format: LogFormat | undefined },
  stream?: DestinationStream,
): Log {
  const usePretty = (format ?? (process.stdout.isTTY ? 'pretty' : 'json')) === 'pretty'
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), log: withoutSecrets },
    serializers: { error: pino.stdSerializers.err },
  }
  if (stream) return pino(options, stream)
  if (usePretty) return pino(options, pretty({ sync: true, ignore: 'pid,hostname' }))
  // What is buffered is written when the process ends, and at once with a fatal line.
  return pino(
    options,
    pino.destination({ dest: 1, sync: false, minLength: FLUSH_BYTES, periodicFlush: FLUSH_MILLISECONDS }),
  )
}

/** Censors the secret fields of a line, and those of the objects in it. */
function withoutSecrets(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const clean: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    const isPlain = typeof value === 'object' && value?.constructor === Object
    if (SECRET_FIELDS.has(name)) clean[name] = CENSORED
    else clean[name] = isPlain && depth === 0 ? withoutSecrets(value as Record<string, unknown>, 1) : value
  }
  return clean
}
