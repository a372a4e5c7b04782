import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { Client } from '../../store/client/client.ts'
import type { Stores } from '../../store/stores.ts'
import { type Clock, toEpochSeconds } from '../../time.ts'
import { CLIENT_KEYS_SECONDS } from '../client/client-keys.ts'
import { toEngineMetadata } from '../client/client-metadata.ts'

type Needs = { stores: Pick<Stores, 'clients'>; now: Clock }

export function clientAdapter({ stores: { clients }, now }: Needs): Partial<Adapter> {
  // The store returns the same object until the client changes.
  const translated = new WeakMap<Client, AdapterPayload>()
  const translate = (client: Client): AdapterPayload => {
    const known = translated.get(client)
    const keys_period = client.metadata.jwks_uri === undefined ? undefined : keysPeriod(now())
    if (known && known.keys_period === keys_period) return known
    const metadata = toEngineMetadata(client) as AdapterPayload
    if (keys_period !== undefined) metadata.keys_period = keys_period
    translated.set(client, metadata)
    return metadata
  }
  return {
    async find(clientId) {
      // Identifiers that cannot be registered are not looked up: NUL bytes would be a database error.
      if (!/^[\x21-\x7e]{1,255}$/.test(clientId)) return undefined
      const client = await clients.find(clientId)
      return client && client.metadata.disabled !== true ? translate(client) : undefined
    },
  }
}

function keysPeriod(at: Date): number {
  return Math.floor(toEpochSeconds(at) / CLIENT_KEYS_SECONDS)
}
