import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { randomSecret, sha256 } from '../crypto/vault.ts'
import { SIGNING_ALGS } from '../oidc/keyring.ts'
import type { Outbound } from '../outbound/client.ts'
import type { Client } from '../store/client/client.ts'
import type { Stores } from '../store/stores.ts'
import { DAY_SECONDS } from '../time.ts'
import {
  AUTH_METHODS,
  CLIENT_TYPES,
  type ClientMetadata,
  CODE,
  defaultScope,
  PRESETS,
  SECRET_METHODS,
  validateClient,
} from './client-validation.ts'
import { AdminError, parseInput } from './input.ts'
import { checkUriCharacters } from './redirect-uri.ts'

const clientId = z
  .string()
  .regex(/^[A-Za-z0-9._~-]{1,128}$/, 'holds letters, digits and . _ ~ - only, at most 128')
const text = z.string().trim().min(1).max(200)
const uris = z.array(z.string().max(2000)).max(50)
const limitSeconds = z
  .number()
  .int()
  .min(30, 'is at least 30 seconds')
  .max(30 * DAY_SECONDS)
// First, because zod's URL check drops tabs and line feeds.
const webPage = z
  .string()
  .max(2000)
  .superRefine(checkUriCharacters)
  .pipe(z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }))
const publicJwk = z
  .looseObject({ kty: z.enum(['RSA', 'EC', 'OKP'], { error: 'must be an RSA, EC or OKP key' }) })
  .refine((jwk) => !('d' in jwk), { message: 'is a private key: register the public part only' })
  .refine(
    (jwk) =>
      jwk.kty !== 'RSA' || (typeof jwk.n === 'string' && Buffer.from(jwk.n, 'base64url').length >= 256),
    { message: 'must have at least 2048 bits' },
  )

const settings = z.strictObject({
  client_name: text.optional(),
  client_uri: webPage.optional(),
  policy_uri: webPage.optional(),
  tos_uri: webPage.optional(),
  redirect_uris: uris.optional(),
  post_logout_redirect_uris: uris.optional(),
  scope: z.string().max(2000).optional(),
  resources: z.array(z.string()).max(50).optional(),
  first_party: z.boolean().optional(),
  require_pkce: z.boolean().optional(),
  keep_offline_access: z.boolean().optional(),
  session_idle_seconds: limitSeconds.optional(),
  session_absolute_seconds: limitSeconds.optional(),
  max_sessions: z.number().int().min(1).max(1000).optional(),
  remember_me: z.boolean().optional(),
  token_endpoint_auth_method: z.enum(AUTH_METHODS).optional(),
  id_token_signed_response_alg: z.enum(SIGNING_ALGS).optional(),
  jwks: z.object({ keys: z.array(publicJwk).min(1).max(20) }).optional(),
  jwks_uri: z.string().max(2000).optional(),
  backchannel_logout_uri: z.string().max(2000).optional(),
  backchannel_logout_session_required: z.boolean().optional(),
})
const newClient = settings.extend({
  type: z.enum(CLIENT_TYPES),
  client_id: clientId.optional(),
  client_name: text,
})
const changes = settings.extend({ client_id: z.string(), disabled: z.boolean().optional() })
const byId = z.strictObject({ client_id: z.string() })
const rotation = z.strictObject({
  client_id: z.string(),
  overlap_seconds: z
    .number()
    .int()
    .min(0)
    .max(30 * DAY_SECONDS)
    .default(0),
})

/** A client in standard metadata names. Only the answer to its creation has a `client_secret`. */
export type ClientDocument = { client_id: string; client_secret?: string; [metadata: string]: unknown }

type Needs = { stores: Pick<Stores, 'clients' | 'resources'>; outbound: Pick<Outbound, 'fault'> }

export function createClientsAdmin({ stores: { clients, resources }, outbound }: Needs) {
  async function getOrThrow(id: string): Promise<Client> {
    const client = await clients.find(id)
    if (!client) throw new AdminError(`There is no client ${id}.`)
    return client
  }

  return {
    async create(input: unknown): Promise<ClientDocument> {
      const { type, client_id = randomUUID(), ...given } = parseInput(newClient, input)
      const preset = PRESETS[type]
      const isInteractive = preset.grant_types.some((grant) => grant === CODE)
      const metadata = await validateClient(
        { resources, outbound },
        {
          type,
          application_type: preset.application_type,
          grant_types: [...preset.grant_types],
          response_types: isInteractive ? ['code'] : [],
          redirect_uris: [],
          token_endpoint_auth_method: preset.authMethods[0],
          ...given,
          scope: given.scope ?? (await defaultScope({ resources }, type, given.resources)),
        },
      )
      const secret = needsSecret(metadata) ? randomSecret() : undefined
      const stored = await clients.insert({
        clientId: client_id,
        metadata,
        secretHash: secret === undefined ? undefined : sha256(secret),
      })
      if (stored === 'taken') throw new AdminError(`The client_id ${client_id} is taken.`)
      if (stored === 'subject')
        throw new AdminError(
          `The client_id ${client_id} is or was the identifier (sub) of a person. An API could take the client for the person (RFC 9700 §4.15): choose another.`,
        )
      return toDocument(await getOrThrow(client_id), secret)
    },

    async list(): Promise<ClientDocument[]> {
      return (await clients.list()).map((client) => toDocument(client))
    },

    async show(input: unknown): Promise<ClientDocument> {
      return toDocument(await getOrThrow(parseInput(byId, input).client_id))
    },

    /** Replaces the given members and keeps the others. A client that now needs a secret gets one. */
    async update(input: unknown): Promise<ClientDocument> {
      const { client_id, ...given } = parseInput(changes, input)
      const before = await getOrThrow(client_id)
      const kept = { ...before.metadata }
      if (given.jwks) delete kept.jwks_uri
      if (given.jwks_uri) delete kept.jwks
      const metadata = await validateClient({ resources, outbound }, { ...kept, ...given } as ClientMetadata)
      await clients.update(client_id, metadata)
      let secret: string | undefined
      if (needsSecret(metadata) && !before.secretHash) {
        secret = randomSecret()
        await clients.rotateSecret(client_id, sha256(secret), 0)
      }
      return toDocument(await getOrThrow(client_id), secret)
    },

    async delete(input: unknown): Promise<ClientDocument> {
      const client = await getOrThrow(parseInput(byId, input).client_id)
      await clients.delete(client.clientId)
      return toDocument(client)
    },

    async rotateSecret(input: unknown): Promise<ClientDocument> {
      const { client_id, overlap_seconds } = parseInput(rotation, input)
      const client = await getOrThrow(client_id)
      if (!needsSecret(client.metadata)) throw new AdminError(`${client_id} authenticates without a secret.`)
      const secret = randomSecret()
      await clients.rotateSecret(client_id, sha256(secret), overlap_seconds)
      return toDocument(await getOrThrow(client_id), secret)
    },
  }
}

function needsSecret(metadata: Readonly<Record<string, unknown>>): boolean {
  return SECRET_METHODS.some((method) => method === metadata.token_endpoint_auth_method)
}

function toDocument({ clientId, metadata, createdAt }: Client, secret?: string): ClientDocument {
  return {
    client_id: clientId,
    ...(secret === undefined ? {} : { client_secret: secret }),
    ...metadata,
    created_at: createdAt.toISOString(),
  }
}
