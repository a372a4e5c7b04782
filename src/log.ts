import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import pretty from 'pino-pretty'
import type { LogFormat, LogLevel } from './settings.ts'

export type Log = Logger

/**
 * Header, parameter and field names whose values must never reach a log line, wherever a caller put them.
 * The rule is not to log them at all; this is the second door.
 */
const SECRET_FIELDS = [
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
]

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
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: SECRET_FIELDS.flatMap((field) => [`["${field}"]`, `*["${field}"]`]),
      censor: '[redacted]',
    },
    serializers: { error: pino.stdSerializers.err },
  }
  if (stream) return pino(options, stream)
  return usePretty ? pino(options, pretty({ sync: true, ignore: 'pid,hostname' })) : pino(options)
}
