import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import type { Lifetimes } from '../../config/config.ts'

/** Refresh tokens rotate on every use, until the family reaches its absolute age (RFC 9700 §4.14.2). */
export function createRotationPolicy({ refreshTokenAbsoluteSeconds }: Lifetimes) {
  return ({ oidc }: KoaContextWithOIDC): boolean => {
    const { RefreshToken, Grant } = oidc.entities
    if ((RefreshToken?.totalLifetime() ?? 0) >= refreshTokenAbsoluteSeconds)
      throw new errors.InvalidGrant('the refresh token family reached its absolute lifetime')
    const isOffline = RefreshToken?.scopes.has('offline_access')
    if (isOffline && !Grant?.getOIDCScope().split(' ').includes('offline_access'))
      throw new errors.InvalidGrant('offline_access was withdrawn')
    return true
  }
}
