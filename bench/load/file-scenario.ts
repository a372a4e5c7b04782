import { expectStatus } from './requests.ts'
import type { Scenario } from './scenario.ts'

/** A static file from memory: it waits for the event loop only. */
export const FILE_SCENARIO = {
  'static-file': {
    async prepare() {
      return {
        next: () => ({ method: 'GET', path: '/assets/style.css' }),
        check: (answer) => expectStatus(answer, 200),
      }
    },
  },
} as const satisfies Record<string, Scenario>
