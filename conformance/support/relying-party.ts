import * as client from 'openid-client'

export const CALLBACK = 'https://app.example.test/callback'

/** A client that uses openid-client. */
export type RelyingParty = Readonly<{
  config: client.Configuration
  /** Creates an authorization request with state, nonce and PKCE. */
  request(parameters?: Record<string, string>): Promise<AuthorizationRequest>
}>

export type AuthorizationRequest = Readonly<{
  url: URL
  verifier: string
  /** Redeems the code of a callback; checks state, iss, nonce and the ID token. */
  redeem(
    callback: URL | undefined,
  ): Promise<client.TokenEndpointResponse & client.TokenEndpointResponseHelpers>
}>

/** Configures openid-client for a registered client by discovery. */
export async function createRelyingParty(
  issuer: string,
  { client_id, client_secret }: { client_id: string; client_secret?: string | undefined },
  { redirectUri = CALLBACK, auth }: { redirectUri?: string; auth?: client.ClientAuth } = {},
): Promise<RelyingParty> {
  const authentication =
    auth ?? (client_secret === undefined ? client.None() : client.ClientSecretBasic(client_secret))
  const config = await client.discovery(new URL(issuer), client_id, undefined, authentication, {
    execute: [client.allowInsecureRequests],
  })
  return {
    config,
    async request(parameters = {}) {
      const verifier = client.randomPKCECodeVerifier()
      const state = client.randomState()
      const nonce = client.randomNonce()
      const { nonce: givenNonce = nonce, ...rest } = parameters
      const scope = rest.scope ?? 'openid'
      const isOpenId = scope.split(' ').includes('openid')
      const url = client.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope,
        state,
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        ...(isOpenId ? { nonce: givenNonce } : {}),
        ...rest,
      })
      return {
        url,
        verifier,
        async redeem(callback) {
          if (!callback) throw new Error('the person was not sent back to the app')
          return await client.authorizationCodeGrant(config, callback, {
            pkceCodeVerifier: verifier,
            expectedState: url.searchParams.get('state') ?? state,
            ...(isOpenId ? { expectedNonce: givenNonce, idTokenExpected: true } : {}),
          })
        },
      }
    },
  }
}
