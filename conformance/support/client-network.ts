let count = 0

/**
 * Headers that come out of a network of their own, so that no limit of a network is met by a test about something else.
 * The server takes its word when `TRUSTED_PROXIES` has 127.0.0.1.
 */
export function fromNewNetwork(): Record<string, string> {
  count++
  return { 'x-forwarded-for': `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}` }
}
