/** Database errors: what a failed statement means. This is the only file that reads Postgres error codes. */

const FOREIGN_KEY_VIOLATION = '23503'
const UNIQUE_VIOLATION = '23505'

/** SQLSTATE classes and codes after which the same statement may succeed later. */
const UNAVAILABLE =
  /^(08...|25006|40001|40P01|53...|55P03|57014|57P0[1-4]|58...|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/
/** pg reports these without a code. */
const UNAVAILABLE_MESSAGE =
  /^(timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client has encountered a connection error|PGlite is closed)/

/** A statement waited too long in the queue of a batch, because the database is slow. */
export class QueueTimeoutError extends Error {
  override name = 'QueueTimeoutError'
}

/** No connection to the database. The message names the address and the reason, for operators, without credentials. */
export class DatabaseConnectionError extends Error {
  override name = 'DatabaseConnectionError'
  readonly host: string
  readonly port: number
  constructor({ host, port }: { host: string; port: number }, cause: unknown) {
    // A host that begins with a slash is the directory of a Unix socket.
    const where = host.startsWith('/') ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`
    super(`No connection to the database at ${where}: ${reasonOf(cause)}`, { cause })
    this.host = host
    this.port = port
  }
}

/**
 * The reason of a database or network error. An AggregateError for several addresses of one host has no message of its
 * own.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof DatabaseConnectionError) return reasonOf(error.cause)
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ')
  return (error instanceof Error && error.message) || codeOf(error) || String(error)
}

/** SQLSTATE, or the code of the network error. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof DatabaseConnectionError) return codeOf(error.cause)
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** The database cannot answer now: down, full, restarting or too slow, or the statement lost a conflict. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof QueueTimeoutError) return true
  if (error instanceof DatabaseConnectionError) return isUnavailable(error.cause)
  if (error instanceof AggregateError) return error.errors.some(isUnavailable)
  const code = codeOf(error)
  if (code !== undefined && UNAVAILABLE.test(code)) return true
  return error instanceof Error && UNAVAILABLE_MESSAGE.test(error.message)
}

/** Lost to a concurrent transaction and rolled back: deadlock, serialization failure. */
export function isConflict(error: unknown): boolean {
  return /^(40001|40P01)$/.test(codeOf(error) ?? '')
}

/** The connection broke or was ended: the outcome of the statement is unknown. */
export function isConnectionLost(error: unknown): boolean {
  if (error instanceof DatabaseConnectionError) return isConnectionLost(error.cause)
  if (/^(08...|25006|57P0[1-3]|ECONNRESET|EPIPE)$/.test(codeOf(error) ?? '')) return true
  return (
    error instanceof Error &&
    /^(Connection terminated( unexpectedly)?$|Client has encountered)/.test(error.message)
  )
}

/** The connection cannot be used again: lost, silent, or to a server that became read-only. */
export function isConnectionUseless(error: unknown): boolean {
  return isConnectionLost(error) || (error instanceof Error && error.message === 'Query read timeout')
}

/** One row of a batch may have caused the error: bad data, a violated constraint, a locked row. */
export function mayConcernOneRow(error: unknown): boolean {
  return !isUnavailable(error) || /^(55P03|57014)$/.test(codeOf(error) ?? '')
}

/** The referenced row does not exist, or was deleted concurrently. */
export function isForeignKeyViolation(error: unknown): boolean {
  return codeOf(error) === FOREIGN_KEY_VIOLATION
}

/**
 * Whether the same request may succeed on a retry: the database is unavailable, or a concurrent request took a unique
 * key or deleted a referenced row. Callers that expect such a conflict handle it first.
 */
export function isRetryable(error: unknown): boolean {
  return isUnavailable(error) || isUniqueViolation(error) || isForeignKeyViolation(error)
}

/** @param constraints the constraints to look for; any when none is named. */
export function isUniqueViolation(error: unknown, ...constraints: string[]): boolean {
  if (codeOf(error) !== UNIQUE_VIOLATION) return false
  if (constraints.length === 0) return true
  const broken = error instanceof Error && 'constraint' in error ? error.constraint : undefined
  return constraints.some((constraint) => constraint === broken)
}
