import * as openid from 'openid-client'
import { UsageError } from '../output/terminal.ts'
import { type PartyOptions, type RelyingParty, toAccessParameters } from './relying-party.ts'
import type { Tokens } from './tokens.ts'

/**
 * @throws {UsageError} that says where to get a secret, before the server is called.
 */
export function requireSecret({ clientId, clientSecret }: PartyOptions): void {
  if (clientSecret) return
  throw new UsageError(
    `--client-secret is missing. It was shown when ${clientId} was created (for the demo: at the first start). Create a new one with: npx sallyport clients rotate-secret ${clientId}`,
  )
}

/** Gets a token for the client itself. @see RFC 6749 §4.4 */
export async function runServiceFlow(party: RelyingParty): Promise<Tokens> {
  return await openid.clientCredentialsGrant(party.server, toAccessParameters(party))
}
