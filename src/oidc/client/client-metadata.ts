/**
 * Room oidc/client/: clients and resource servers as the engine knows them: metadata and secrets (this file), keys,
 * assertions, scopes.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Client as EngineClient } from 'oidc-provider'
import { sha256 } from '../../crypto/vault.ts'
import type { Client } from '../../store/client/client.ts'
import type { ClientOnPage } from '../../ui/view-models.ts'

/** The scopes that the engine itself knows; every other scope belongs to a resource. */
export const OIDC_SCOPES = ['openid', 'profile', 'email', 'offline_access'] as const

/** Metadata of our own that the engine keeps on a client under these names. */
export const EXTRA_CLIENT_METADATA = [
  'first_party',
  'resources',
  'allowed_scope',
  'require_pkce',
  'keep_offline_access',
  'session_idle_seconds',
  'session_absolute_seconds',
  'max_sessions',
  'remember_me',
  'secret_hashes',
  'keys_period',
] as const

/** The metadata of {@link EXTRA_CLIENT_METADATA} as it sits on the engine's Client. */
export type ExtraClientMetadata = {
  /** No consent is asked for. */
  first_party?: boolean
  /** Identifiers of the resources the client may request tokens for. */
  resources?: string[]
  /** Every scope that the client may request, of the engine and of resources; space-separated. */
  allowed_scope?: string
  require_pkce?: boolean
  /** Its `offline_access` tokens outlive the person's logout. */
  keep_offline_access?: boolean
  /** The idle limit of sessions for this client, where it is shorter than the setting. */
  session_idle_seconds?: number
  /** The absolute limit of sessions for this client, where it is shorter than the setting. */
  session_absolute_seconds?: number
  /** The most browsers in which a person may be signed in to this client at once. */
  max_sessions?: number
  /** false: a remembered browser must sign in again for this client. */
  remember_me?: boolean
  /** SHA-256 of each accepted secret in base64url, with its end in epoch seconds where it has one. */
  secret_hashes?: { hash: string; until?: number }[]
  /**
   * Of a client with a `jwks_uri`: changes when its keys are due to be fetched again. The engine keeps them for as long
   * as the metadata stays the same.
   */
  keys_period?: number
}

/** Translates a stored client into metadata for the engine. It holds no usable secret. */
export function toEngineMetadata({
  clientId,
  metadata,
  secretHash,
  previousSecret,
}: Client): Record<string, unknown> {
  const { scope, disabled, ...standard } = metadata
  const allowedScope = typeof scope === 'string' ? scope : ''
  // The engine knows its own scopes only; an empty list would allow all of them.
  const engineScope = allowedScope.split(' ').filter(isOidcScope).join(' ') || 'openid'
  const hashes: NonNullable<ExtraClientMetadata['secret_hashes']> = []
  if (secretHash) hashes.push({ hash: base64url(secretHash) })
  if (previousSecret)
    hashes.push({ hash: base64url(previousSecret.hash), until: previousSecret.until.getTime() / 1000 })

  return {
    // A client finds the session of a logout token by the `sid` in its ID tokens (Back-Channel Logout §2.2).
    ...('backchannel_logout_uri' in standard ? { backchannel_logout_session_required: true } : {}),
    ...standard,
    client_id: clientId,
    scope: engineScope,
    allowed_scope: allowedScope,
    // The engine requires a secret for these methods; verifyClientSecret compares hashes.
    ...(hashes[0] ? { client_secret: hashes[0].hash, secret_hashes: hashes } : {}),
  }
}

/** Compares a presented secret with the accepted hashes, in constant time. */
export function verifyClientSecret(
  { secret_hashes = [] }: ExtraClientMetadata,
  presented: string,
  now: Date,
): boolean {
  const given = sha256(presented)
  const matches = secret_hashes.map(({ hash, until }) => {
    const equal = timingSafeEqual(given, Buffer.from(hash, 'base64url'))
    return equal && (until === undefined || until * 1000 > now.getTime())
  })
  return matches.includes(true)
}

/** The client on a page. An operator registered its values; pages escape them all the same. */
export function describeClient(client: EngineClient): ClientOnPage {
  return {
    name: client.clientName ?? client.clientId,
    host: client.clientUri === undefined ? undefined : URL.parse(client.clientUri)?.host,
    uri: client.clientUri,
    policyUri: client.policyUri,
    tosUri: client.tosUri,
  }
}

/** Splits a `scope` (RFC 6749 §3.3). A missing one has no scopes. */
export function scopesIn(scope: unknown): string[] {
  return typeof scope === 'string' ? scope.split(' ').filter(Boolean) : []
}

export function isOidcScope(scope: string): boolean {
  return (OIDC_SCOPES as readonly string[]).includes(scope)
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
