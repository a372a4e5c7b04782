import { type Client, errors, type KoaContextWithOIDC, type ResourceServer } from 'oidc-provider'
import type { Resource, ResourceStore } from '../../store/client/resource.ts'
import { withUnavailable } from '../engine/errors.ts'
import { type ExtraClientMetadata, isOidcScope } from './client-metadata.ts'

type EngineClient = Client & ExtraClientMetadata

/**
 * Creates the engine's look-up of a resource server that a request names (RFC 8707).
 *
 * @returns a function that rejects with `invalid_target` when the resource is unknown or not for this client, and
 *   with `invalid_scope` when the client asks for a scope of the resource that it may not have.
 */
export function createResourceServerInfo(resources: ResourceStore) {
  return withUnavailable(
    async (ctx: KoaContextWithOIDC, identifier: string, client: Client): Promise<ResourceServer> => {
      const { resources: allowed = [] } = client as EngineClient
      const resource = allowed.includes(identifier) ? await resources.find(identifier) : undefined
      if (!resource) throw new errors.InvalidTarget('the resource is unknown or not available to this client')

      const known = resource.scope.split(' ')
      refuseForeignScopes(ctx, client, (scope) => known.includes(scope))
      const mayHave = allowedScopes(client)
      return toResourceServer(
        resource,
        known.filter((scope) => mayHave.has(scope)),
      )
    },
  )
}

function toResourceServer(
  { identifier, format, signingAlg, accessTokenSeconds }: Resource,
  scopes: string[],
): ResourceServer {
  return {
    audience: identifier,
    scope: scopes.join(' '),
    ...(accessTokenSeconds === undefined ? {} : { accessTokenTTL: accessTokenSeconds }),
    ...(format === 'jwt'
      ? { accessTokenFormat: 'jwt', jwt: { sign: { alg: signingAlg } } }
      : { accessTokenFormat: 'opaque' }),
  } as ResourceServer
}

/** For requests that name no resource: the engine's own scopes must be the client's too (RFC 6749 §3.3). */
export function assertScopeAllowed(ctx: KoaContextWithOIDC, _scope: unknown, client: Client): void {
  refuseForeignScopes(ctx, client, isOidcScope)
}

/** The engine calls this for every request that names no resource: there is no default. */
export async function defaultResource(
  ctx: KoaContextWithOIDC,
  client: Client,
  oneOf?: readonly string[],
): Promise<readonly string[] | undefined> {
  if (oneOf) return oneOf
  refuseForeignScopes(ctx, client, isOidcScope)
  return undefined
}

/**
 * Refuses a scope that the client's registration does not list: for services every such scope (RFC 6749 §5.2), for
 * requests with a person only known scopes. Unknown ones are dropped (§3.3), because clients often ask for too many.
 */
function refuseForeignScopes(
  ctx: KoaContextWithOIDC,
  client: Client,
  isKnown: (scope: string) => boolean,
): void {
  const isService = ctx.oidc.params?.grant_type === 'client_credentials'
  const mayHave = allowedScopes(client)
  const refused = [...ctx.oidc.requestParamScopes].find(
    (scope) => (isService || isKnown(scope)) && !mayHave.has(scope),
  )
  if (refused) throw new errors.InvalidScope('requested scope is not allowed', refused)
}

function allowedScopes(client: Client): Set<string> {
  return new Set((client as EngineClient).allowed_scope?.split(' '))
}

/** Lets the client of a token and the resource server that it is meant for introspect it (RFC 7662 §4). */
export function createIntrospectionPolicy(resources: ResourceStore) {
  return withUnavailable(
    async (
      { oidc }: KoaContextWithOIDC,
      client: Client,
      token: { clientId?: string | undefined; aud?: string | string[] | undefined },
    ) => {
      if (client.clientAuthMethod === 'none') return false
      const isOwn = token.clientId === client.clientId
      const resource = typeof token.aud === 'string' ? await resources.find(token.aud) : undefined
      // The resource server was deleted, so its tokens are inactive.
      if (token.aud !== undefined && !resource) return false
      if (isOwn) return true
      // A client that was disabled or deleted has no active tokens.
      if (!(await oidc.provider.Client.find(token.clientId ?? ''))) return false
      return resource?.introspectionClientIds.includes(client.clientId) ?? false
    },
  )
}
