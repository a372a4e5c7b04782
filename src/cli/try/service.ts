import * as openid from 'openid-client'
import { UsageError } from '../output/terminal.ts'
import { type PartyOptions, type RelyingParty, toAccessParameters } from './relying-party.ts'
import type { Tokens } from './tokens.ts'

/**
 * A service is nobody without its secret.
 *
 * @throws {UsageError} that says where to get one, before the server is asked.
 */
export function requireSecret({ clientId, clientSecret }: PartyOptions): void {
  if (clientSecret) return
  throw new UsageError(
    `--client-secret is missing. It was shown when ${clientId} was made (the demo's at the first start); "npx sallyport clients rotate-secret ${clientId}" makes a new one.`,
  )
}

/** Gets a token for the client itself. @see RFC 6749 §4.4 */
export async function runServiceFlow(party: RelyingParty): Promise<Tokens> {
  return await openid.clientCredentialsGrant(party.server, toAccessParameters(party))
}
