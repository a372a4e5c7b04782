import type { Payload } from '../../db/schema.ts'
import type { TokenKind } from '../../db/token-kind.ts'
import type { Client } from '../../store/client/client.ts'
import type { Stores } from '../../store/stores.ts'
import { OIDC_SCOPES, scopesIn } from './client-metadata.ts'

type Registration = Readonly<{ scopes: ReadonlySet<string>; resources: ReadonlySet<string> }>

export type RegisteredScope = ReturnType<typeof createRegisteredScope>

type Needs = Pick<Stores, 'clients' | 'resources'>

/**
 * Narrows granted scopes to the client's present registration. Tokens, codes and grants are stored with the scope that
 * they were issued with; the adapter narrows it on every read, so that a change of the registration applies at every
 * endpoint at once. Clients and resource servers are cached.
 */
export function createRegisteredScope({ clients, resources }: Needs) {
  // The store returns the same object until the client changes.
  const registrations = new WeakMap<Client, Registration>()

  async function findRegistration(clientId: unknown): Promise<Registration | undefined> {
    const client = await clients.find(String(clientId))
    // The client was deleted, and its tokens with it.
    if (!client) return undefined
    const { scope, resources: named } = client.metadata
    const registration = registrations.get(client) ?? {
      scopes: new Set(scopesIn(scope)),
      resources: new Set(textsIn(named)),
    }
    registrations.set(client, registration)
    return registration
  }

  /** The registered scopes that the resource server knows; undefined when the client lost the resource server. */
  async function findResourceScopes(registration: Registration, identifier: string) {
    const resource = registration.resources.has(identifier) ? await resources.find(identifier) : undefined
    return resource && scopesIn(resource.scope).filter((scope) => registration.scopes.has(scope))
  }

  return {
    /**
     * @returns undefined when the client lost everything that the token was for: its resource server, all of its
     *   scopes, or, for a refresh token that outlives its session, `offline_access`.
     */
    async narrowToken(kind: TokenKind, payload: Payload): Promise<Payload | undefined> {
      const registration = await findRegistration(payload.clientId)
      if (!registration) return payload
      const targets = [...textsIn(payload.aud), ...textsIn(payload.resource)]
      const scopes = await Promise.all(targets.map((target) => findResourceScopes(registration, target)))
      if (payload.aud !== undefined && scopes[0] === undefined) return undefined

      const before = scopesIn(payload.scope)
      const mayHave = new Set([
        ...OIDC_SCOPES.filter((scope) => registration.scopes.has(scope)),
        ...scopes.flatMap((known) => known ?? []),
      ])
      const after = before.filter((scope) => mayHave.has(scope))
      const hasAllTargets = scopes.every((known) => known !== undefined)
      if (after.length === before.length && hasAllTargets) return payload
      if (after.length === 0 && before.length > 0) return undefined
      const isOffline = kind === 'RefreshToken' && before.includes('offline_access')
      if (isOffline && !after.includes('offline_access')) return undefined
      const kept = textsIn(payload.resource).filter((target) => scopes[targets.indexOf(target)] !== undefined)
      // A single resource is a string: with a list, the engine would ask for a choice.
      return { ...payload, scope: after.join(' '), resource: kept.length > 1 ? kept : kept[0] }
    },

    async narrowGrant(payload: Payload): Promise<Payload> {
      const registration = await findRegistration(payload.clientId)
      if (!registration) return payload
      const { openid, resources: granted } = payload as ScopesOfGrant
      const keep = (scope = '', known: ReadonlySet<string>) =>
        scopesIn(scope)
          .filter((one) => known.has(one))
          .join(' ')
      const narrowed = await Promise.all(
        Object.entries(granted ?? {}).map(async ([identifier, scope]) => {
          const known = await findResourceScopes(registration, identifier)
          return [identifier, keep(scope, new Set(known))] as const
        }),
      )
      return {
        ...payload,
        ...(openid ? { openid: { ...openid, scope: keep(openid.scope, registration.scopes) } } : {}),
        ...(granted ? { resources: Object.fromEntries(narrowed) } : {}),
      }
    },
  }
}

type ScopesOfGrant = { openid?: { scope?: string }; resources?: Record<string, string> }

function textsIn(value: unknown): string[] {
  return [value].flat().filter((one) => typeof one === 'string')
}
