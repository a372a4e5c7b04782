import { fromNewNetwork } from './client-network.ts'
import { createTestClient } from './code-flow.ts'
import { DEVICE_GRANT_TYPE, startDevice } from './device-flow.ts'
import { EndUser } from './end-user.ts'
import { PASSWORD, type TestServer } from './harness.ts'
import { type Answer, exchange, posting } from './http.ts'
import type { TokenInvariants } from './token-invariants.ts'

/** The timeout of a client: longer than any timeout after which a server answers 503. */
const TIMEOUT_MILLISECONDS = 10_000

/** A token request that can succeed once. */
export type TokenRequest = Readonly<{
  /** The code, device code or refresh token of the request. */
  spends: string
  /** Sends the same request each time. Rejects when the server does not answer within 10 s. */
  send: (at: string) => Promise<Answer>
}>

/** A grant type of an end-user's tokens, with a client that uses it. */
export type GrantInUse = Readonly<{
  /** Whether a repeated request gets the same answer for some seconds: only a refresh does. */
  isRepeatable: boolean
  /** Prepares a token request at the server without faults. */
  prepare: () => Promise<TokenRequest>
  refresh: (refreshToken: string, at: string) => Promise<Answer>
  revoke: (token: string, at: string) => Promise<Answer>
  introspect: (token: string, at: string) => Promise<Answer>
}>

export const GRANT_NAMES = ['code', 'refresh', 'device'] as const

export type GrantsInUse = Readonly<Record<(typeof GRANT_NAMES)[number], GrantInUse>>

type Caller = NonNullable<Parameters<typeof posting>[1]>['as']

/** The three grants, each with its client, for a person who stays signed in. */
export async function createGrantsInUse(
  server: TestServer,
  tokenInvariants: TokenInvariants,
): Promise<GrantsInUse> {
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  const app = await createTestClient(server, { first_party: true })
  const tv = await server.admin.clients.create({
    type: 'device',
    client_name: 'Bridge TV',
    first_party: true,
  })
  const ada = new EndUser(server.issuer)

  const send = (url: string, form: Record<string, string>, as: Caller) =>
    exchange(url, { ...posting(form, { as }), signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS) })

  /** The requests of a client with its tokens. */
  const useOf = (as: Caller) => ({
    async refresh(refresh_token: string, at: string) {
      tokenInvariants.present(refresh_token)
      return await send(`${at}/token`, { grant_type: 'refresh_token', refresh_token }, as)
    },
    revoke: (token: string, at: string) => send(`${at}/revoke`, { token }, as),
    introspect: (token: string, at: string) => send(`${at}/introspect`, { token }, as),
  })
  const ofApp = useOf(app.client)
  const ofTv = useOf(tv)

  async function prepareCode(): Promise<TokenRequest> {
    const { code, form } = await app.getCode({}, ada)
    return { spends: code, send: (at) => send(`${at}/token`, form, app.client) }
  }

  async function prepareRefresh(): Promise<TokenRequest> {
    const { form } = await app.getCode({}, ada)
    const answer = await app.token(form)
    const { refreshToken } = tokenInvariants.record(answer)
    return { spends: refreshToken, send: (at) => ofApp.refresh(refreshToken, at) }
  }

  async function prepareDevice(): Promise<TokenRequest> {
    const { device_code, user_code, verification_uri } = await startDevice(
      server,
      tv,
      { scope: 'openid' },
      fromNewNetwork(),
    )
    let page = await ada.submit(await ada.open(verification_uri), { user_code })
    page = await ada.submit(page, {}, 'approve')
    if (page.$('input[name=password]').length > 0)
      page = await ada.submit(page, { username: 'ada', password: PASSWORD })
    if (page.$('button[value=approve]').length > 0) await ada.submit(page, {}, 'approve')
    const form = { grant_type: DEVICE_GRANT_TYPE, device_code }
    return {
      spends: device_code,
      async send(at) {
        const poll = () => send(`${at}/token`, form, tv)
        const answer = await poll()
        if (answer.body.error !== 'slow_down') return answer
        // A device waits and polls again (RFC 8628 §3.5); here the database moves the time.
        await tokenInvariants.change(`update oidc_token set polled_at = polled_at - interval '1 hour'`)
        return await poll()
      },
    }
  }

  // The person has one browser: preparations run one after another.
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = (prepare: () => Promise<TokenRequest>) => () => {
    const prepared = last.then(prepare, prepare)
    last = prepared
    return prepared
  }

  return {
    code: { isRepeatable: false, prepare: inTurn(prepareCode), ...ofApp },
    refresh: { isRepeatable: true, prepare: inTurn(prepareRefresh), ...ofApp },
    device: { isRepeatable: false, prepare: inTurn(prepareDevice), ...ofTv },
  }
}
