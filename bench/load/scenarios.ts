import { RESOURCE, RESOURCE_SCOPE, type Target } from '../contenders/contender.ts'
import { APP_SERVER, forwardedFor } from './client-address.ts'
import { runClosedLoop } from './closed-loop.ts'
import { signIn } from './people.ts'
import { codeOf, expectStatus, formRequest, introspect, redeemCode, redeemRefreshToken } from './requests.ts'
import type { Scenario } from './scenario.ts'

/** Sessions per connection, each of a different person, so that successive requests use different rows. */
export const SESSIONS_PER_CONNECTION = 2
/** Enough to vary the rows. At this pace every device polls too soon. */
const DEVICES_PER_CONNECTION = 32
/** Codes live 60 s, so a stock must be used up within that time. */
const STOCK_SECONDS = 40
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

export const SCENARIOS = {
  'client-credentials-opaque': clientCredentials({}),
  'client-credentials-jwt': clientCredentials({ resource: RESOURCE, scope: RESOURCE_SCOPE }),

  'code-exchange': {
    async prepare(target, connections) {
      const people = await signIn(target, connections * SESSIONS_PER_CONNECTION)
      const codes: string[] = []
      return {
        async stock(count) {
          codes.length = 0 // Codes of the last stock are about to expire.
          const pick = createPicker(people, connections)
          const making = await runClosedLoop(
            target.origin,
            {
              next: (connection) => (codes.length < count ? pick(connection).authorize : undefined),
              check(answer) {
                const code = codeOf(answer)
                if (code === undefined) return `no code: ${answer.status} ${answer.location}`
                codes.push(code)
                return undefined
              },
            },
            { connections, seconds: STOCK_SECONDS },
          )
          if (making.firstFault) throw new Error(making.firstFault)
          codes.reverse() // The oldest is used first.
        },
        next() {
          const code = codes.pop()
          return code === undefined ? undefined : redeemCode(target, code)
        },
        check: (answer) => expectStatus(answer, 200),
      }
    },
  },

  'refresh-rotation': {
    async prepare(target, connections) {
      const tokens = (await signIn(target, connections)).map(({ refreshToken }) => refreshToken)
      return {
        next: (connection) => redeemRefreshToken(target, tokens[connection] ?? ''),
        check(answer, connection) {
          const fault = expectStatus(answer, 200)
          if (fault !== undefined) return fault
          const { refresh_token: next } = JSON.parse(answer.text) as { refresh_token?: string }
          if (next === undefined || next === tokens[connection]) return 'the refresh token was not rotated'
          tokens[connection] = next
          return undefined
        },
      }
    },
  },

  introspection: {
    async prepare(target, connections) {
      const people = await signIn(target, connections * SESSIONS_PER_CONNECTION)
      const pick = createPicker(people, connections)
      return {
        next: (connection) => introspect(target, pick(connection).accessToken),
        check: (answer) =>
          expectStatus(answer, 200) ??
          (answer.text.includes('"active":true') ? undefined : `not active: ${answer.text}`),
      }
    },
  },

  userinfo: {
    async prepare(target, connections) {
      const people = await signIn(target, connections * SESSIONS_PER_CONNECTION)
      const pick = createPicker(people, connections)
      return {
        next: (connection) => ({
          method: 'GET',
          path: '/userinfo',
          headers: { ...APP_SERVER, authorization: `Bearer ${pick(connection).accessToken}` },
        }),
        check: (answer) =>
          expectStatus(answer, 200) ??
          (answer.text.includes('"email"') ? undefined : `no claims: ${answer.text}`),
      }
    },
  },

  'device-poll-pending': {
    async prepare(target, connections) {
      const devices = await startDevices(target, connections * DEVICES_PER_CONNECTION)
      const pick = createPicker(devices, connections)
      return {
        next(connection) {
          const { code, from } = pick(connection)
          const form = { grant_type: DEVICE_GRANT, device_code: code }
          return formRequest('/token', target.clients.device, form, from)
        },
        check: ({ status, text }) =>
          status === 400 && /"(authorization_pending|slow_down)"/.test(text)
            ? undefined
            : `${status} instead of 400: ${text}`,
      }
    },
  },

  'sso-authorize': {
    async prepare(target, connections) {
      const people = await signIn(target, connections * SESSIONS_PER_CONNECTION)
      const pick = createPicker(people, connections)
      return {
        next: (connection) => pick(connection).authorize,
        check: (answer) =>
          codeOf(answer) === undefined ? `no code: ${answer.status} ${answer.location}` : undefined,
      }
    },
  },
} as const satisfies Record<string, Scenario>

export type ScenarioName = keyof typeof SCENARIOS
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[]

function clientCredentials(parameters: Record<string, string>): Scenario {
  return {
    async prepare({ clients }) {
      const request = formRequest('/token', clients.service, {
        grant_type: 'client_credentials',
        ...parameters,
      })
      return { next: () => request, check: (answer) => expectStatus(answer, 200) }
    },
  }
}

/** Deals items out in turn. Connections never share one, as browsers never share a session. */
function createPicker<Item>(items: readonly Item[], connections: number): (connection: number) => Item {
  const rounds = Math.floor(items.length / connections)
  const turns = new Array<number>(connections).fill(0)
  return (connection) => {
    const turn = turns[connection] ?? 0
    turns[connection] = (turn + 1) % rounds
    const item = items[turn * connections + connection]
    if (item === undefined) throw new Error('there are more connections than items')
    return item
  }
}

type Device = Readonly<{ code: string; from: Record<string, string> }>

/** Starts the authorization of each device (RFC 8628 §3.1). */
async function startDevices({ origin, clients }: Target, count: number): Promise<Device[]> {
  const devices: Device[] = []
  while (devices.length < count) {
    const from = forwardedFor(devices.length)
    const { path, ...request } = formRequest('/device/authorize', clients.device, { scope: 'openid' }, from)
    const response = await fetch(new URL(path, origin), request)
    const { device_code: code } = JSON.parse(await response.text()) as { device_code?: string }
    if (code === undefined) throw new Error(`no device code: ${response.status}`)
    devices.push({ code, from })
  }
  return devices
}
