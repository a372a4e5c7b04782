import open from 'open'
import * as openid from 'openid-client'
import { DEMO } from '../../app/demo.ts'
import { isLoopback } from '../../loopback.ts'
import { toPrintable } from '../output/printable.ts'
import { aborted } from '../output/terminal.ts'
import { listenForCallback } from './callback.ts'
import { instruct, type RelyingParty, toAccessParameters } from './relying-party.ts'
import { has, type Tokens } from './tokens.ts'

export type BrowserOptions = {
  /** How long to wait for the sign-in, in seconds. */
  timeout: number
  /** Port of the redirect URI; undefined: a free port. */
  port?: number
  open: boolean
  prompt?: string
}

/**
 * Gets tokens for the person who signs in, by authorization code with PKCE through a browser.
 *
 * @throws errors of openid-client, and an Error when the sign-in took too long.
 * @see RFC 7636, RFC 8252 §7.3, RFC 9207
 */
export async function runCodeFlow(party: RelyingParty, options: BrowserOptions): Promise<Tokens> {
  const request = createRequest(party, options)
  const callback = await listenForCallback({ state: request.state, port: options.port ?? 0 })
  try {
    const url = openid.buildAuthorizationUrl(party.server, {
      ...toAccessParameters(party),
      ...(await request.toParameters()),
      redirect_uri: callback.redirectUri,
    })
    await lead(party, url, options)
    const response = await waitFor(callback.response, party, options.timeout)
    return await openid.authorizationCodeGrant(
      party.server,
      response,
      { expectedState: request.state, pkceCodeVerifier: request.verifier, ...request.nonceCheck },
      party.resource === undefined ? {} : { resource: party.resource },
    )
  } finally {
    callback.close()
  }
}

/** The values that bind the response to this request. */
function createRequest({ scope }: RelyingParty, { prompt }: BrowserOptions) {
  const state = openid.randomState()
  const verifier = openid.randomPKCECodeVerifier()
  const nonce = has(scope, 'openid') ? openid.randomNonce() : undefined
  // Without the prompt `consent`, a server must ignore offline_access (OpenID Connect Core §11).
  const requested = prompt ?? (has(scope, 'offline_access') ? 'consent' : undefined)
  return {
    state,
    verifier,
    nonceCheck: nonce === undefined ? {} : { expectedNonce: nonce },
    toParameters: async () => ({
      state,
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...(nonce === undefined ? {} : { nonce }),
      ...(requested === undefined ? {} : { prompt: requested }),
    }),
  }
}

async function lead(
  party: RelyingParty,
  url: URL,
  { timeout, open: mayOpen }: BrowserOptions,
): Promise<void> {
  // The URL comes from the server's metadata, and the desktop's opener also opens files and programs.
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url)))
    throw new Error(
      `The server has an authorization endpoint that is not a web page: ${toPrintable(url.href)}`,
    )
  const opens = mayOpen && !party.json && party.terminal.stdout.isTTY === true
  instruct(party, opens ? 'Your browser opens to sign in. If it does not, open:' : 'Open this to sign in:')
  instruct(party, `\n  ${toPrintable(url.href)}\n`)
  if (party.clientId === DEMO.webClientId)
    instruct(party, `The demo person is "${DEMO.username}", with the password that the first start showed.`)
  instruct(party, `Waiting up to ${timeout} seconds; Ctrl-C stops.\n`)
  // Without a browser, the person can open the URL above.
  if (opens) await open(url.href).catch(() => undefined)
}

async function waitFor(
  response: Promise<URL>,
  { terminal }: RelyingParty,
  timeoutSeconds: number,
): Promise<URL> {
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000)
  const url = await Promise.race([response, aborted(AbortSignal.any([terminal.signal, timeout]))])
  if (url) return url
  throw terminal.signal.aborted
    ? terminal.signal.reason
    : new Error(`No sign-in within ${timeoutSeconds} seconds.`)
}
