import { FIRST_GRANT, grownToken } from '../growth/names.ts'
import { expectStatus, introspect, redeemRefreshToken } from './requests.ts'
import type { Scenario } from './scenario.ts'

/** Load on random rows of those that SQL made. A stock is a number of grants. */
export const GROWN_SCENARIOS = {
  'grown-refresh': {
    async prepare(target, connections) {
      const latest = new Map<number, string>()
      const current = new Array<number>(connections).fill(FIRST_GRANT)
      let pick = (_connection: number) => FIRST_GRANT
      return {
        async stock(grants) {
          pick = createRandomPicker(grants, connections)
        },
        next(connection) {
          const grant = pick(connection)
          current[connection] = grant
          return redeemRefreshToken(target, latest.get(grant) ?? grownToken('refresh', grant))
        },
        check(answer, connection) {
          const fault = expectStatus(answer, 200)
          if (fault !== undefined) return fault
          const { refresh_token: next } = JSON.parse(answer.text) as { refresh_token?: string }
          if (next === undefined) return 'no refresh token came back'
          latest.set(current[connection] ?? FIRST_GRANT, next)
          return undefined
        },
      }
    },
  },

  'grown-introspection': {
    async prepare(target, connections) {
      let pick = (_connection: number) => FIRST_GRANT
      return {
        async stock(grants) {
          pick = createRandomPicker(grants, connections)
        },
        next: (connection) => introspect(target, grownToken('access', pick(connection))),
        check: (answer) =>
          expectStatus(answer, 200) ??
          (answer.text.includes('"active":true') ? undefined : `not active: ${answer.text}`),
      }
    },
  },
} as const satisfies Record<string, Scenario>

export type GrownScenarioName = keyof typeof GROWN_SCENARIOS

/** Draws grants of one connection only, because a refresh token has one owner. */
function createRandomPicker(grants: number, connections: number): (connection: number) => number {
  const each = Math.floor(grants / connections)
  if (each === 0) throw new Error('there are more connections than grants')
  return (connection) => FIRST_GRANT + connection + connections * Math.floor(Math.random() * each)
}
