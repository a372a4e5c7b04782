import { CookieJar } from 'tough-cookie'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { at } from './support/clock.ts'
import {
  cloneBrowser,
  createTestClient,
  expectRefreshed,
  type TestClient,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { alertOf, enterCode, pollDevice, startDevice } from './support/device-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, sql } from './support/http.ts'

const CREDENTIALS = { username: 'ada', password: PASSWORD }
const OFFLINE = { scope: 'openid offline_access', prompt: 'consent' }
const SETTINGS = {
  SESSION_IDLE_SECONDS: '600',
  SESSION_ABSOLUTE_SECONDS: '1000',
  ACCESS_TOKEN_SECONDS: '300',
  REFRESH_TOKEN_IDLE_SECONDS: '700',
  REFRESH_TOKEN_ABSOLUTE_SECONDS: '1100',
  REMEMBER_ME_SECONDS: '1500',
}

let server: TestServer
let app: TestClient
/** A client that registered shorter session limits. */
let bank: TestClient
let service: ClientDocument
let tv: ClientDocument

beforeAll(async () => {
  server = await startTestServer(SETTINGS)
  const { clients, users } = server.admin
  await users.create(CREDENTIALS)
  app = await createTestClient(server, { first_party: true })
  bank = await createTestClient(server, {
    first_party: true,
    session_idle_seconds: 100,
    session_absolute_seconds: 200,
  })
  service = await clients.create({ type: 'service', client_name: 'Robot' })
  tv = await clients.create({ type: 'device', client_name: 'Bridge TV' })
})
afterAll(() => server?.remove())

const newUser = () => new EndUser(server.issuer)
const isSignedIn = async (user: EndUser, from = app) => (await from.authorizeSilently(user)).has('code')
const isActive = async (token: string, client = app.client) =>
  (await post(`${server.url}/introspect`, { token }, { as: client })).body.active === true
const isRefreshed = async (refreshToken: string, from = app) =>
  (await from.refresh(refreshToken)).status === 200
const credentials = async () =>
  String(
    (await post(`${server.url}/token`, { grant_type: 'client_credentials' }, { as: service })).body
      .access_token,
  )

/** A copy of a browser with its present cookies. It expires none by itself, as the server must not rely on that. */
function copyOf(user: EndUser): EndUser {
  const kept = user.jar.serializeSync()
  if (!kept) throw new Error('the cookies are kept in memory')
  for (const cookie of kept.cookies) cookie.expires = 'Infinity'
  return new EndUser(user.origin, user.target, CookieJar.deserializeSync(kept))
}

async function signIn(from = app): Promise<EndUser> {
  return copyOf((await from.getCode({}, newUser())).user)
}

async function remember(): Promise<EndUser> {
  const user = newUser()
  await user.submit(await user.open((await app.request()).url), { ...CREDENTIALS, remember: 'yes' })
  return withoutSession(user)
}

function withoutSession(user: EndUser): EndUser {
  const restarted = cloneBrowser(user)
  restarted.jar.setCookieSync('sallyport_session=; Path=/; Max-Age=0', server.issuer)
  return restarted
}

type Lifetime = Readonly<{
  name: string
  seconds: number
  /** Creates one, and returns a check whether it is alive. The check is its only use. */
  make: () => Promise<() => Promise<boolean>>
}>

const LIFETIMES: readonly Lifetime[] = [
  {
    name: 'a session without a use',
    seconds: 600,
    make: async () => {
      const user = await signIn()
      return () => isSignedIn(user)
    },
  },
  {
    name: 'a session without a use, on the account page',
    seconds: 600,
    make: async () => {
      const user = await signIn()
      return async () => (await user.open('/account')).url.endsWith('/account')
    },
  },
  {
    name: 'a session without a use, for its refresh tokens',
    seconds: 600,
    make: async () => {
      const { refreshToken } = await app.getTokens({}, newUser())
      return () => isRefreshed(refreshToken)
    },
  },
  {
    name: 'a session without a use, for a client with shorter limits',
    seconds: 100,
    make: async () => {
      const user = await signIn(bank)
      return () => isSignedIn(user, bank)
    },
  },
  {
    name: 'a session without a use, for the tokens of a client with shorter limits',
    seconds: 100,
    make: async () => {
      const { refreshToken, accessToken } = await bank.getTokens({}, newUser())
      return async () => (await isActive(accessToken, bank.client)) && (await isRefreshed(refreshToken, bank))
    },
  },
  {
    name: 'an anonymous session',
    seconds: 600,
    make: async () => {
      const user = newUser()
      const page = await user.open('/device')
      const copy = copyOf(user)
      const { user_code } = await startDevice(server, tv)
      return async () => alertOf(await copy.submit(page, { user_code })) === ''
    },
  },
  {
    name: 'a login page',
    seconds: 900,
    make: async () => {
      const user = newUser()
      const page = await user.open((await app.request()).url)
      const copy = copyOf(user)
      return async () => (await copy.submit(page, CREDENTIALS)).leftTo?.searchParams.has('code') === true
    },
  },
  {
    name: 'an authorization code',
    seconds: 60,
    make: async () => {
      const { form } = await app.getCode({}, newUser())
      return async () => (await app.token(form)).status === 200
    },
  },
  {
    name: 'a pushed request',
    seconds: 60,
    make: async () => {
      const { searchParams } = (await app.request()).url
      const { body } = await post(`${server.url}/par`, searchParams, { as: app.client })
      const query = new URLSearchParams({
        client_id: app.client.client_id,
        request_uri: String(body.request_uri),
      })
      return async () => (await newUser().open(`/authorize?${query}`)).$('input[name=password]').length === 1
    },
  },
  {
    name: 'an access token, at userinfo',
    seconds: 300,
    make: async () => {
      const { accessToken } = await app.getTokens(OFFLINE, newUser())
      return async () => (await userinfoStatus(server, accessToken)) === 200
    },
  },
  {
    name: 'an access token, at introspection',
    seconds: 300,
    make: async () => {
      const { accessToken } = await app.getTokens(OFFLINE, newUser())
      return () => isActive(accessToken)
    },
  },
  {
    name: 'an access token of a service',
    seconds: 600,
    make: async () => {
      const token = await credentials()
      return () => isActive(token, service)
    },
  },
  {
    name: 'a refresh token without a use',
    seconds: 700,
    make: async () => {
      const { refreshToken } = await app.getTokens(OFFLINE, newUser())
      return () => isRefreshed(refreshToken)
    },
  },
  {
    name: 'a refresh token without a use, at introspection',
    seconds: 700,
    make: async () => {
      const { refreshToken } = await app.getTokens(OFFLINE, newUser())
      return () => isActive(refreshToken)
    },
  },
  {
    name: 'a device code',
    seconds: 600,
    make: async () => {
      const started = await startDevice(server, tv)
      return async () => (await pollDevice(server.url, started, tv)).body.error === 'authorization_pending'
    },
  },
  {
    name: 'a user code',
    seconds: 600,
    make: async () => {
      const started = await startDevice(server, tv)
      return async () => alertOf(await enterCode(newUser(), started)) === ''
    },
  },
  {
    name: 'a remembered browser',
    seconds: 1500,
    make: async () => {
      const user = copyOf(await remember())
      return () => isSignedIn(user)
    },
  },
  {
    name: 'a replaced client secret',
    seconds: 400,
    make: async () => {
      const client = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
      await server.admin.clients.rotateSecret({ client_id: client.client_id, overlap_seconds: 400 })
      return async () =>
        (await post(`${server.url}/token`, { grant_type: 'client_credentials' }, { as: client })).status ===
        200
    },
  },
]

/** The next whole second, from which the clocks are counted. */
function nextSecond(): number {
  return Math.ceil(Date.now() / 1000) * 1000
}

describe('a lifetime ends exactly, by the clock of the database', () => {
  test.for(LIFETIMES)('$name: $seconds s', async ({ seconds, make }) => {
    const begin = nextSecond()
    const ask = async (afterSeconds: number) => {
      const isAlive = await at(new Date(begin), make)
      return await at(new Date(begin + afterSeconds * 1000), isAlive)
    }
    expect(await ask(seconds - 1), 'a second before').toBe(true)
    expect(await ask(seconds), 'at its end').toBe(false)
    expect(await ask(seconds + 1), 'a second after').toBe(false)
  })

  test.skipIf(isPglite)('a grant with its tokens (SQL needs Postgres)', async () => {
    const begin = nextSecond()
    for (const [afterSeconds, isAlive] of [
      [9, true],
      [10, false],
      [11, false],
    ] as const) {
      const { user, accessToken, refreshToken } = await at(new Date(begin), () =>
        app.getTokens(OFFLINE, newUser()),
      )
      await sql(server, 'update oidc_grant set expires_at = $1', [new Date(begin + 10_000)])
      await at(new Date(begin + afterSeconds * 1000), async () => {
        expect(await isActive(accessToken)).toBe(isAlive)
        expect((await userinfoStatus(server, accessToken)) === 200).toBe(isAlive)
        expect(await isRefreshed(refreshToken)).toBe(isAlive)
        // The session continues; an ended grant is replaced by a new one.
        expect(await isSignedIn(user)).toBe(true)
      })
    }
  })
})

describe('an absolute limit ends, in spite of frequent use,', () => {
  const begin = nextSecond()
  /** Uses something at these times, in seconds after it began; returns the times at which it was alive. */
  async function use(times: readonly number[], isAlive: () => Promise<boolean>): Promise<number[]> {
    const alive: number[] = []
    for (const time of times) if (await at(new Date(begin + time * 1000), isAlive)) alive.push(time)
    return alive
  }
  const every = (seconds: number, until: number) =>
    Array.from({ length: Math.floor(until / seconds) }, (_, index) => (index + 1) * seconds)

  test('a session that is used every 10 s (ASVS 7.3.2)', async () => {
    const { user } = await at(new Date(begin), () => app.getCode({}, newUser()))
    expect(await use([500, 990, 999], () => isSignedIn(user))).toEqual([500, 990, 999])
    const cookie = await at(new Date(begin + 999_000), () => Promise.resolve(copyOf(user)))
    expect(await use([1000, 1001, 1010, 1020, 1030], () => isSignedIn(cookie))).toEqual([])
  })

  test('a session with all its tokens and its account page', async () => {
    const { user, refreshToken, accessToken } = await at(new Date(begin), () => app.getTokens({}, newUser()))
    let newest = { refreshToken, accessToken }
    const refresh = async () => {
      const answer = await app.refresh(newest.refreshToken)
      if (answer.status === 200) newest = tokensOf(answer)
      return answer.status === 200
    }
    expect(await use([500, 990, 999], () => isSignedIn(user))).toEqual([500, 990, 999])
    expect(await use([600, 999], refresh)).toEqual([600, 999])
    const cookie = await at(new Date(begin + 999_000), () => Promise.resolve(copyOf(user)))
    for (const isAlive of [
      refresh,
      () => isActive(newest.accessToken),
      async () => (await userinfoStatus(server, newest.accessToken)) === 200,
      async () => (await cookie.open('/account')).url.endsWith('/account'),
    ])
      expect(await use([1000, 1001, 1014, 1016], isAlive)).toEqual([])
  })

  test('a session for a client with a shorter limit; for others it continues', async () => {
    const { user } = await at(new Date(begin), () => bank.getCode({}, newUser()))
    const before = [...every(50, 150), 199]
    expect(await use(before, () => isSignedIn(user, bank))).toEqual(before)
    expect(await use([200, 201, 216], () => isSignedIn(user, bank))).toEqual([])
    expect(await use([216], () => isSignedIn(user))).toEqual([216])
  })

  test('no session that a client with a short idle limit uses before it', async () => {
    const { user } = await at(new Date(begin), () => app.getCode({}, newUser()))
    expect(await use([500, 850], () => isSignedIn(user))).toEqual([500, 850])
    const short = await createTestClient(server, { first_party: true, session_idle_seconds: 100 })
    expect(
      await use(
        every(1, 1000).filter((time) => time >= 900 && time % 30 === 0),
        () => isSignedIn(user, short),
      ),
    ).toEqual([900, 930, 960, 990])
  })

  test.skipIf(isPglite)(
    'a session whose limit was shortened since it began (needs two instances)',
    async () => {
      const strict = await server.startAnother({
        SESSION_ABSOLUTE_SECONDS: '300',
        SESSION_IDLE_SECONDS: '100',
      })
      const { user } = await at(new Date(begin), () => app.getCode({}, newUser()))
      const isSignedInThere = () => isSignedIn(new EndUser(server.issuer, strict.url, user.jar.cloneSync()))
      expect(await use([99], isSignedInThere)).toEqual([99])
      expect(await use([180, 290], () => isSignedIn(user))).toEqual([180, 290])
      expect(await use([299, 300, 301], isSignedInThere)).toEqual([299])
      const idle = await at(new Date(begin), () => app.getCode({}, newUser()))
      expect(
        await use([100, 101], () => isSignedIn(new EndUser(server.issuer, strict.url, idle.user.jar))),
      ).toEqual([])
    },
  )

  test('a family of refresh tokens (RFC 9700 §4.14.2)', async () => {
    let { refreshToken } = await at(new Date(begin), () => app.getTokens(OFFLINE, newUser()))
    const refresh = async () => {
      const answer = await app.refresh(refreshToken)
      if (answer.status === 200) ({ refreshToken } = expectRefreshed(answer))
      return answer.status === 200
    }
    expect(await use([600, 1090, 1099, 1100, 1101, 1115], refresh)).toEqual([600, 1090, 1099])
  })

  test('a remembered browser, whose secret rotates at every use', async () => {
    let user = await at(new Date(begin), remember)
    const isRecognised = async () => {
      const restarted = withoutSession(user)
      const isIn = await isSignedIn(restarted)
      if (isIn) user = restarted
      return isIn
    }
    expect(await use([700, 1400, 1499], isRecognised)).toEqual([700, 1400, 1499])
    user = await at(new Date(begin + 1_499_000), () => Promise.resolve(copyOf(withoutSession(user))))
    expect(await use([1500, 1501], () => isSignedIn(user))).toEqual([])
  })
})
