import * as client from 'openid-client'

export const CALLBACK = 'https://app.example.test/callback'

/** An app that uses openid-client, as apps do. */
export type RelyingParty = Readonly<{
  config: client.Configuration
  /** An authorization request and what redeeming its answer needs. */
  request(parameters?: Record<string, string>): Promise<AuthorizationRequest>
}>

export type AuthorizationRequest = Readonly<{
  url: URL
  verifier: string
  /** Redeems the code that a person was sent back with; checks state, iss, nonce and the ID token. */
  redeem(
    callback: URL | undefined,
  ): Promise<client.TokenEndpointResponse & client.TokenEndpointResponseHelpers>
}>

/** Discovers the server and makes an app of a registered client. */
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
