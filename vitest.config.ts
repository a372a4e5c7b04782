import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/**
 * The files of a worker share its modules. Loading the server and compiling the embedded database for each file took as
 * long as most files themselves.
 */
const isolate = false

/** Servers in the test process hash passwords at a low cost: see the file. */
const resolve = {
  alias: [
    {
      find: /^argon2$/,
      replacement: fileURLToPath(new URL('conformance/support/argon2.ts', import.meta.url)),
    },
  ],
}

const conformance = {
  isolate,
  include: ['conformance/*.test.ts'],
  globalSetup: ['conformance/support/database-server.ts'],
  testTimeout: 60_000,
  hookTimeout: 60_000,
}

/** Files that control a Postgres server, inject faults into its connections, or need several instances. */
const POSTGRES_ONLY = [
  'bench',
  'client-disconnect',
  'clocks',
  'database-connection',
  'database-restart',
  'events-follow',
  'events-together',
  'fault-points',
  'fault-proxy',
  'instances',
  'outage',
  'refresh-family',
  'refresh-replay',
  'replay-clocks',
  'rolling-restart',
  'schema-compatibility',
  'sealed-values',
  'session-replacement',
  'statements',
  'storage-faults',
  'unique-violation',
]
/** Files whose cases are decided before anything is stored, or that measure time. */
const BEFORE_STORAGE = [
  'account-enumeration',
  'authorize',
  'csrf',
  'discovery',
  'graceful-shutdown',
  'hostile-requests',
  'logout-request',
  'page-language',
  'password-advice',
  'pipelining',
  'proxy',
  'redirect-uri',
  'scope-narrowing',
  'sign-in-load',
  'transport',
]
/**
 * Files whose cases are decided by code above the store. The files that run on both databases execute the same SQL, so a
 * second run finds nothing new, and a file on the embedded database costs 6 s of CPU.
 */
const ABOVE_STORAGE = [
  'client-authentication',
  'client-credentials',
  'interaction',
  'introspection',
  'pkce',
  'refresh-lifetime',
  'resource',
  'step-up',
  'user-code-rate-limit',
  'userinfo',
]
/** Files that start the command line on the embedded database themselves. */
const EMBEDDED_ANYWAY = ['cli', 'try']
/** The examples of the documentation. */
const EXAMPLES = ['docs-snippets']

export default defineConfig({
  test: {
    // One more than two cores have work for: tests also wait for timeouts and retries.
    maxWorkers: 3,
    projects: [
      {
        test: {
          isolate,
          name: 'unit',
          include: ['src/**/*.test.ts', 'bench/**/*.test.ts', 'docs/**/*.test.ts'],
        },
      },
      { resolve, test: { ...conformance, name: 'conformance', env: { TEST_DATABASE: 'postgres' } } },
      {
        resolve,
        test: {
          ...conformance,
          name: 'conformance-pglite',
          exclude: [
            ...POSTGRES_ONLY,
            ...BEFORE_STORAGE,
            ...ABOVE_STORAGE,
            ...EMBEDDED_ANYWAY,
            ...EXAMPLES,
          ].map((name) => `conformance/${name}.test.ts`),
          env: { TEST_DATABASE: 'pglite' },
        },
      },
      {
        resolve,
        test: {
          ...conformance,
          name: 'browser',
          include: ['conformance/browser/*.test.ts'],
          globalSetup: [...conformance.globalSetup, 'conformance/support/chromium.ts'],
          env: { TEST_DATABASE: 'postgres' },
        },
      },
    ],
  },
})
