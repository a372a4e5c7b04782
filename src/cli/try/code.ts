import openInBrowser from 'open'
import * as client from 'openid-client'
import type { Terminal } from '../terminal.ts'
import { askedFor, discover, explain, type TryOptions } from './app.ts'
import { openCallback } from './callback.ts'
import { examine, printReport } from './report.ts'

export type CodeOptions = TryOptions & { open: boolean; timeout: number; prompt?: string }

/** Authorization code with PKCE: the browser goes out, and comes back to a loopback port. */
export async function tryCode(terminal: Terminal, options: CodeOptions): Promise<void> {
  const config = await discover(terminal, options)
  const callback = await openCallback()
  try {
    const verifier = client.randomPKCECodeVerifier()
    const [state, nonce] = [client.randomState(), client.randomNonce()]
    const isOpenId = options.scope.split(' ').includes('openid')
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: callback.redirectUri,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      ...askedFor(options),
      ...(isOpenId ? { nonce } : {}),
      ...(options.prompt === undefined ? {} : { prompt: options.prompt }),
    })
    // With --json, stdout is for the document alone.
    const { stdout, stderr } = terminal
    const forPeople = options.json ? stderr : stdout
    forPeople.write(
      `Open this in a browser and sign in:\n\n  ${url}\n\nWaiting for it to come back to ${callback.redirectUri} …\n`,
    )
    if (options.open && !options.json && stdout.isTTY) await openInBrowser(url.href).catch(() => {})

    const signal = AbortSignal.any([terminal.signal, AbortSignal.timeout(options.timeout * 1000)])
    const answer = await callback.arrival(state, signal)
    const tokens = await client.authorizationCodeGrant(config, answer, {
      pkceCodeVerifier: verifier,
      expectedState: state,
      ...(isOpenId ? { expectedNonce: nonce, idTokenExpected: true } : {}),
    })
    printReport(terminal, options, await examine(config, tokens))
  } catch (error) {
    throw explain(error)
  } finally {
    callback.close()
  }
}
