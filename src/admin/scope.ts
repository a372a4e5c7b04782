import { z } from 'zod'

/** A scope list as RFC 6749 §3.3 writes it. */
export const scopeList = z
  .string()
  .max(2000)
  .trim()
  .regex(
    /^[\x21\x23-\x5b\x5d-\x7e]+( +[\x21\x23-\x5b\x5d-\x7e]+)*$/,
    'is a list of scopes separated by spaces',
  )
  .transform((value) => [...new Set(parseScope(value))].join(' '))

export function parseScope(scope: unknown): string[] {
  return typeof scope === 'string' ? scope.split(' ').filter(Boolean) : []
}
