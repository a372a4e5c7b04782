import { expectStatus } from './requests.ts'
import type { Scenario } from './scenario.ts'

/** A file that the server has in memory: its event loop makes it wait, and nothing else. */
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
