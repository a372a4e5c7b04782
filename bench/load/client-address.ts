/** The address of the apps' servers, which request tokens, introspect and read userinfo. */
export const APP_SERVER = forwardedFor(0)

/**
 * The header of a request from one of many browsers or devices, each on a network of its own: the bench acts as the
 * reverse proxy that Sallyport trusts. Rate limits would reject this load from a single address.
 *
 * @param client 0 to 2^24 - 1. Successive numbers share no prefix.
 */
export function forwardedFor(client: number): { 'x-forwarded-for': string } {
  return { 'x-forwarded-for': `10.${client & 255}.${(client >> 8) & 255}.${(client >> 16) & 255}` }
}
