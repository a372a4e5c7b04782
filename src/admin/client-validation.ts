import { isOidcScope, OIDC_SCOPES, scopesIn } from '../oidc/client/client-metadata.ts'
import type { Outbound } from '../outbound/client.ts'
import { DEVICE_GRANT_TYPE } from '../store/client/grant-type.ts'
import type { ResourceStore } from '../store/client/resource.ts'
import { AdminError } from './input.ts'
import { redirectUriFault, uriCharacterFault } from './redirect-uri.ts'

/** The types of client; each has a preset. */
export const CLIENT_TYPES = ['web', 'spa', 'native', 'device', 'service'] as const

type ClientType = (typeof CLIENT_TYPES)[number]

export const CODE = 'authorization_code'
const REFRESH = 'refresh_token'
export const SECRET_METHODS = ['client_secret_basic', 'client_secret_post'] as const
export const AUTH_METHODS = [...SECRET_METHODS, 'private_key_jwt', 'none'] as const

type AuthMethod = (typeof AUTH_METHODS)[number]

/** The metadata that each type of client starts with. The first authentication method is the default. */
export const PRESETS = {
  web: {
    application_type: 'web',
    grant_types: [CODE, REFRESH],
    authMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  },
  spa: { application_type: 'web', grant_types: [CODE, REFRESH], authMethods: ['none'] },
  native: { application_type: 'native', grant_types: [CODE, REFRESH], authMethods: ['none'] },
  device: {
    application_type: 'native',
    grant_types: [DEVICE_GRANT_TYPE, REFRESH],
    authMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  },
  service: {
    application_type: 'web',
    grant_types: ['client_credentials'],
    authMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  },
} as const satisfies Record<
  ClientType,
  { application_type: 'web' | 'native'; grant_types: string[]; authMethods: AuthMethod[] }
>

export type ClientMetadata = Record<string, unknown> & { type: ClientType }

/** Validates the complete metadata of a client. @throws {AdminError} listing every fault. */
export async function validateClient(
  { resources, outbound }: { resources: ResourceStore; outbound: Pick<Outbound, 'fault'> },
  given: ClientMetadata,
): Promise<ClientMetadata> {
  const metadata = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as ClientMetadata
  const { type } = metadata
  const preset = PRESETS[type]
  const faults: string[] = []
  const strings = (name: string) => (metadata[name] as string[] | undefined) ?? []

  const isNative = preset.application_type === 'native'
  for (const name of ['redirect_uris', 'post_logout_redirect_uris']) {
    for (const uri of strings(name)) {
      const fault = redirectUriFault(uri, { isNative })
      if (fault) faults.push(`${name}: ${uri} ${fault}`)
    }
  }
  const isInteractive = strings('grant_types').includes(CODE)
  if (isInteractive && strings('redirect_uris').length === 0)
    faults.push(`redirect_uris: a ${type} client needs at least one`)
  if (!isInteractive && strings('redirect_uris').length > 0)
    faults.push(`redirect_uris: a ${type} client has none`)

  const method = metadata.token_endpoint_auth_method as AuthMethod
  if (!(preset.authMethods as readonly AuthMethod[]).includes(method)) {
    faults.push(
      `token_endpoint_auth_method: a ${type} client authenticates by ${preset.authMethods.join(', ')}`,
    )
  }
  if (method === 'private_key_jwt' && !metadata.jwks && !metadata.jwks_uri)
    faults.push('jwks: private_key_jwt needs the client’s public keys, as jwks or jwks_uri')
  if (metadata.jwks && metadata.jwks_uri) faults.push('jwks: give keys either as jwks or as jwks_uri')
  if (metadata.require_pkce === false && method === 'none')
    faults.push('require_pkce: a public client cannot do without PKCE')
  for (const name of ['jwks_uri', 'backchannel_logout_uri']) {
    const uri = metadata[name]
    const fault = typeof uri === 'string' ? (ambiguityOf(uri) ?? outbound.fault(uri)) : undefined
    if (fault) faults.push(`${name}: ${fault}`)
  }
  faults.push(...(await scopeFaults(metadata, resources)))
  if (faults.length > 0) throw new AdminError(faults.join('\n'))
  return metadata
}

/**
 * Says why a URL that the server calls is ambiguous. The server calls it as registered: it fills in no placeholders
 * (CVE-2026-4874) and sends no fragment (OpenID Connect Back-Channel Logout 1.0 §2.2).
 */
function ambiguityOf(uri: string): string | undefined {
  if (uri.includes('#')) return 'must not have a fragment'
  if (/[{}*]/.test(uri)) return 'must not have placeholders or wildcards'
  return uriCharacterFault(uri)
}

async function scopeFaults(metadata: ClientMetadata, resources: ResourceStore): Promise<string[]> {
  const faults: string[] = []
  const available = new Set<string>(metadata.type === 'service' ? [] : OIDC_SCOPES)
  for (const identifier of (metadata.resources as string[] | undefined) ?? []) {
    const resource = await resources.find(identifier)
    if (!resource)
      faults.push(`resources: there is no resource ${identifier} (make it with: sallyport resources create)`)
    for (const scope of resource?.scope.split(' ') ?? []) available.add(scope)
  }
  for (const scope of scopesIn(metadata.scope)) {
    if (metadata.type === 'service' && isOidcScope(scope))
      faults.push(`scope: ${scope} is about a person, and a service acts for itself`)
    else if (!available.has(scope)) faults.push(`scope: ${scope} belongs to none of the client’s resources`)
  }
  return faults
}

/** Every scope that the type may have: the OpenID scopes, except for services, and the scopes of the resources. */
export async function defaultScope(
  { resources }: { resources: ResourceStore },
  type: ClientType,
  identifiers: readonly string[] = [],
): Promise<string> {
  const scopes: string[] = type === 'service' ? [] : [...OIDC_SCOPES]
  for (const identifier of identifiers) {
    const resource = await resources.find(identifier)
    if (resource) scopes.push(...resource.scope.split(' '))
  }
  return [...new Set(scopes)].join(' ')
}
