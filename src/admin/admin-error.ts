import type { z } from 'zod'

/** What an operator asked for cannot be done; the message says why and what to do. Nothing was changed. */
export class AdminError extends Error {
  override name = 'AdminError'
}

/**
 * Parses an operator's input. What is undefined counts as not said, as it does when the input arrives as JSON.
 *
 * @throws {AdminError} listing every fault.
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const parsed = schema.safeParse(withoutUndefined(input))
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path, message }) =>
    path.length > 0 ? `${path.join('.')}: ${message}` : message,
  )
  throw new AdminError(faults.join('\n'))
}

function withoutUndefined(input: unknown): unknown {
  if (typeof input !== 'object' || input === null) return input
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
}
