import { z } from 'zod'
import { isOidcScope, OIDC_SCOPES, scopesIn } from '../oidc/client/client-metadata.ts'
import { SIGNING_ALGS } from '../oidc/keyring.ts'
import type { Resource } from '../store/client/resource.ts'
import type { Stores } from '../store/stores.ts'
import { DAY_SECONDS } from '../time.ts'
import { AdminError, parseInput, scopeList, withoutUndefined } from './input.ts'
import { checkUriCharacters } from './redirect-uri.ts'

const newResource = z.strictObject({
  identifier: z
    .string()
    .max(500)
    .refine((value) => URL.canParse(value) && !value.includes('#'), {
      message: 'must be an absolute URI without a fragment (RFC 8707 §2)',
    })
    .superRefine(checkUriCharacters),
  scope: scopeList.refine((scope) => !scopesIn(scope).some(isOidcScope), {
    message: `must not hold ${OIDC_SCOPES.join(', ')}: these are about people`,
  }),
  format: z.enum(['jwt', 'opaque']),
  signing_alg: z.enum(SIGNING_ALGS).default('RS256'),
  access_token_seconds: z.number().int().min(30).max(DAY_SECONDS).optional(),
  introspection_client_ids: z.array(z.string()).max(20).default([]),
})
const byIdentifier = z.strictObject({ identifier: z.string() })

type ResourceDocument = ReturnType<typeof toDocument>

export function createResourcesAdmin({ resources, clients }: Pick<Stores, 'resources' | 'clients'>) {
  async function getOrThrow(identifier: string): Promise<Resource> {
    const resource = await resources.find(identifier)
    if (!resource) throw new AdminError(`There is no resource ${identifier}.`)
    return resource
  }

  /** Removes the resource and its scopes from the clients that have it. */
  async function forgetResource(identifier: string): Promise<void> {
    for (const { clientId, metadata } of await clients.list()) {
      const named = Array.isArray(metadata.resources) ? metadata.resources.map(String) : []
      if (!named.includes(identifier)) continue
      const kept = named.filter((other) => other !== identifier)
      const found = await Promise.all(kept.map((other) => resources.find(other)))
      const known = new Set<string>([
        ...OIDC_SCOPES,
        ...found.flatMap((resource) => scopesIn(resource?.scope)),
      ])
      const scope = scopesIn(metadata.scope)
        .filter((name) => known.has(name))
        .join(' ')
      await clients.update(clientId, { ...metadata, resources: kept, scope })
    }
  }

  return {
    async create(input: unknown): Promise<ResourceDocument> {
      const { identifier, scope, format, signing_alg, access_token_seconds, introspection_client_ids } =
        parseInput(newResource, input)
      for (const clientId of introspection_client_ids) {
        if (!(await clients.find(clientId))) throw new AdminError(`There is no client ${clientId}.`)
      }
      const stored = await resources.insert({
        identifier,
        scope,
        format,
        signingAlg: signing_alg,
        accessTokenSeconds: access_token_seconds,
        introspectionClientIds: introspection_client_ids,
      })
      if (!stored) throw new AdminError(`The resource ${identifier} exists already.`)
      return toDocument(await getOrThrow(identifier))
    },

    async list(): Promise<ResourceDocument[]> {
      return (await resources.list()).map(toDocument)
    },

    async delete(input: unknown): Promise<ResourceDocument> {
      const resource = await getOrThrow(parseInput(byIdentifier, input).identifier)
      await resources.delete(resource.identifier)
      await forgetResource(resource.identifier)
      return toDocument(resource)
    },
  }
}

function toDocument(resource: Resource) {
  return withoutUndefined({
    identifier: resource.identifier,
    scope: resource.scope,
    format: resource.format,
    signing_alg: resource.signingAlg,
    access_token_seconds: resource.accessTokenSeconds,
    introspection_client_ids: resource.introspectionClientIds,
    created_at: resource.createdAt.toISOString(),
  })
}
