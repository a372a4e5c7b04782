/** Apps' own servers, which ask for tokens, introspect and read userinfo. */
export const APP_SERVER = forwardedFor(0)

/**
 * The header of a request from one of many browsers or devices, each on a network of its own: the bench plays the
 * reverse proxy that Sallyport trusts. From a single address, its rate limits would refuse the load.
 *
 * @param client 0 to 2^24 - 1. Successive numbers lie far apart, so that no prefix of addresses has many of them.
 */
export function forwardedFor(client: number): { 'x-forwarded-for': string } {
  return { 'x-forwarded-for': `10.${client & 255}.${(client >> 8) & 255}.${(client >> 16) & 255}` }
}
