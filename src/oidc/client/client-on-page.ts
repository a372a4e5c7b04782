import type { Client as EngineClient } from 'oidc-provider'
import type { ClientOnPage } from '../../ui/view-models.ts'

/** How a page names a client. Everything in it was registered by an operator, and is escaped all the same. */
export function describeClient(client: EngineClient): ClientOnPage {
  return {
    name: client.clientName ?? client.clientId,
    host: client.clientUri === undefined ? undefined : URL.parse(client.clientUri)?.host,
    uri: client.clientUri,
    policyUri: client.policyUri,
    tosUri: client.tosUri,
  }
}
