import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { Client, ClientStore } from '../../store/client.ts'
import { toEngineMetadata } from '../client-metadata.ts'

export function clientAdapter({ clients }: { clients: ClientStore }): Partial<Adapter> {
  // The store gives the same object until the client changes.
  const translated = new WeakMap<Client, AdapterPayload>()
  const translate = (client: Client): AdapterPayload => {
    const metadata = translated.get(client) ?? (toEngineMetadata(client) as AdapterPayload)
    translated.set(client, metadata)
    return metadata
  }
  return {
    async find(clientId) {
      // What could never have been registered is not looked up: NUL bytes would be a database error.
      if (!/^[\x21-\x7e]{1,255}$/.test(clientId)) return undefined
      const client = await clients.find(clientId)
      return client && client.metadata.disabled !== true ? translate(client) : undefined
    },
  }
}
