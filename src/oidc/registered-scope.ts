import type { Client, ClientStore } from '../store/client.ts'
import type { ResourceStore } from '../store/resource.ts'
import type { Payload } from '../store/schema.ts'
import type { TokenKind } from '../store/token-kind.ts'
import { OIDC_SCOPES } from './client-metadata.ts'
import { words } from './scopes.ts'

type Registration = Readonly<{ scopes: ReadonlySet<string>; resources: ReadonlySet<string> }>

export type RegisteredScope = ReturnType<typeof createRegisteredScope>

/**
 * What was granted, narrowed to what the client is registered for now. Tokens, codes and grants keep the scope that they
 * were issued with; the adapter narrows it whenever it hands one to the engine, so that a change of the registration
 * binds every endpoint at once. Clients and resources come from memory.
 */
export function createRegisteredScope({
  clients,
  resources,
}: {
  clients: Pick<ClientStore, 'find'>
  resources: Pick<ResourceStore, 'find'>
}) {
  // The store gives the same object until the client changes.
  const registrations = new WeakMap<Client, Registration>()

  async function findRegistration(clientId: unknown): Promise<Registration | undefined> {
    const client = await clients.find(String(clientId))
    // What a client holds is deleted with it.
    if (!client) return undefined
    const { scope, resources: named } = client.metadata
    const registration = registrations.get(client) ?? {
      scopes: new Set(words(String(scope ?? ''))),
      resources: new Set(textsIn(named)),
    }
    registrations.set(client, registration)
    return registration
  }

  /** The scopes of a registration that a resource knows; undefined when the client lost the resource. */
  async function findResourceScopes(
    registration: Registration,
    identifier: string,
  ): Promise<string[] | undefined> {
    const resource = registration.resources.has(identifier) ? await resources.find(identifier) : undefined
    return resource && words(resource.scope).filter((scope) => registration.scopes.has(scope))
  }

  return {
    /**
     * @returns undefined when the client lost all that the token was for: its API, every scope that it had, or, for a
     *   refresh token that outlives the session, `offline_access`.
     */
    async narrowToken(kind: TokenKind, payload: Payload): Promise<Payload | undefined> {
      const registration = await findRegistration(payload.clientId)
      if (!registration) return payload
      const targets = [...textsIn(payload.aud), ...textsIn(payload.resource)]
      const scopes = await Promise.all(targets.map((target) => findResourceScopes(registration, target)))
      if (payload.aud !== undefined && scopes[0] === undefined) return undefined

      const before = words(String(payload.scope ?? ''))
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
      // One is a string with the engine, which would ask which of a list is meant.
      return { ...payload, scope: after.join(' '), resource: kept.length > 1 ? kept : kept[0] }
    },

    async narrowGrant(payload: Payload): Promise<Payload> {
      const registration = await findRegistration(payload.clientId)
      if (!registration) return payload
      const { openid, resources: granted } = payload as ScopesOfGrant
      const keep = (scope = '', known: ReadonlySet<string>) =>
        words(scope)
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
