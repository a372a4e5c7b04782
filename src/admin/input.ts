import { z } from 'zod'
import { scopesIn } from '../oidc/client/client-metadata.ts'

/** The operation is not possible; the message says why and what to do. Nothing was changed. */
export class AdminError extends Error {
  override name = 'AdminError'
}

/**
 * Parses an operator's input. Undefined members count as absent, as they are in JSON.
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

/** Drops members that are undefined, as JSON does. */
export function withoutUndefined<Document>(document: Document): Document {
  if (typeof document !== 'object' || document === null) return document
  const members = Object.entries(document).filter(([, value]) => value !== undefined)
  return Object.fromEntries(members) as Document
}

/** A scope list as RFC 6749 §3.3 writes it. */
export const scopeList = z
  .string()
  .max(2000)
  .trim()
  .regex(
    /^[\x21\x23-\x5b\x5d-\x7e]+( +[\x21\x23-\x5b\x5d-\x7e]+)*$/,
    'is a list of scopes separated by spaces',
  )
  .transform((value) => [...new Set(scopesIn(value))].join(' '))
