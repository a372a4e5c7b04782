let count = 0

/**
 * Headers of a request from a new client network, so that the test reaches no rate limit of a network. The server must
 * have 127.0.0.1 in `TRUSTED_PROXIES`.
 */
export function fromNewNetwork(): Record<string, string> {
  count++
  return { 'x-forwarded-for': `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}` }
}
