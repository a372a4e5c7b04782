import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { ClientStore } from '../../store/client.ts'
import { toEngineMetadata } from '../client-metadata.ts'

export function clientAdapter({ clients }: { clients: ClientStore }): Partial<Adapter> {
  return {
    async find(clientId) {
      // What could never have been registered is not looked up: NUL bytes would be a database error.
      if (!/^[\x21-\x7e]{1,255}$/.test(clientId)) return undefined
      const client = await clients.find(clientId)
      return client && client.metadata.disabled !== true
        ? (toEngineMetadata(client) as AdapterPayload)
        : undefined
    },
  }
}
