export const FIRST_GRANT = 1

/** Names of the rows that SQL makes. The load generator computes them instead of reading a list. */
export function grownToken(kind: 'refresh' | 'access', grant: number): string {
  return `${grownTokenPrefix(kind)}${grant}`
}

export function grownTokenPrefix(kind: 'refresh' | 'access' | 'expired'): string {
  return `grown-${kind}-token-`
}
