import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import pretty from 'pino-pretty'

export type Log = Logger

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export const LOG_FORMATS = ['json', 'pretty'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogFormat = (typeof LOG_FORMATS)[number]

/**
 * Names of headers, parameters and fields whose values are redacted in every log line. Callers must not log them at all;
 * this is a second safeguard.
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
const REDACTED = '[redacted]'

/** Lines are written in batches, at least this often: a write per line costs more CPU than the line itself. */
const FLUSH_MILLISECONDS = 200
const FLUSH_BYTES = 8 * 1024

/** Opens the log of the process: one line per event on stdout, with secrets redacted. */
export function createLog(
  { level, format }: { level: LogLevel; format: LogFormat | undefined },
  stream?: DestinationStream,
): Log {
  const usePretty = (format ?? (process.stdout.isTTY ? 'pretty' : 'json')) === 'pretty'
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), log: redactSecrets },
    serializers: { error: pino.stdSerializers.err },
  }
  if (stream) return pino(options, stream)
  if (usePretty) return pino(options, pretty({ sync: true, ignore: 'pid,hostname' }))
  // The buffer is also written when the process ends, and with a fatal line.
  return pino(
    options,
    pino.destination({ dest: 1, sync: false, minLength: FLUSH_BYTES, periodicFlush: FLUSH_MILLISECONDS }),
  )
}

/** Redacts the secret fields of a line, and those of objects in it. */
function redactSecrets(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const clean: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    const isPlain = typeof value === 'object' && value?.constructor === Object
    if (SECRET_FIELDS.has(name)) clean[name] = REDACTED
    else clean[name] = isPlain && depth === 0 ? redactSecrets(value as Record<string, unknown>, 1) : value
  }
  return clean
}
