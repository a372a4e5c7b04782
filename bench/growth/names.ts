export const FIRST_GRANT = 1

/** What the rows that SQL makes are called, so that the load generator can name them without a list. */
export function grownToken(kind: 'refresh' | 'access', grant: number): string {
  return `${grownTokenPrefix(kind)}${grant}`
}

export function grownTokenPrefix(kind: 'refresh' | 'access' | 'expired'): string {
  return `grown-${kind}-token-`
}
