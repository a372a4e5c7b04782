import { defineConfig } from 'vitest/config'

/**
 * The files that a worker runs share its modules: to load the server anew for each, and to compile the embedded
 * database, took as long as most files themselves.
 */
const isolate = false

const conformance = {
  isolate,
  include: ['conformance/*.test.ts'],
  globalSetup: ['conformance/support/database-server.ts'],
  testTimeout: 60_000,
  hookTimeout: 60_000,
}

/** What is done to a Postgres, or between instances of which the embedded database takes one. */
const POSTGRES_ALONE = [
  'bench',
  'clocks',
  'database-connection',
  'database-restart',
  'events-follow',
  'events-together',
  'fault-points',
  'client-disconnect',
  'instances',
  'refresh-replay',
  'outage',
  'refresh-family',
  'replay-clocks',
  'fault-proxy',
  'rolling-restart',
  'schema-compatibility',
  'sealed-values',
  'session-replacement',
  'statements',
  'storage-faults',
  'unique-violation',
]
/** What is decided before anything is stored, or measured: the same whatever the database. */
const WHATEVER_DATABASE = [
  'authorize',
  'csrf',
  'discovery',
  'hostile-requests',
  'logout-request',
  'page-language',
  'password-advice',
  'pipelining',
  'proxy',
  'redirect-uri',
  'scope-narrowing',
  'sign-in-load',
  'account-enumeration',
  'graceful-shutdown',
  'transport',
]
/** The command line's own tests run on the embedded database in any case. */
const ON_PGLITE_ANYWAY = ['cli', 'try']
/** Examples of the documentation, which show the same on either. */
const EXAMPLES = ['docs-snippets']

export default defineConfig({
  test: {
    // For two cores, which a server, its database and its client share: much of the time a test waits for a moment to come.
    maxWorkers: 3,
    projects: [
      {
        test: {
          isolate,
          name: 'unit',
          include: ['src/**/*.test.ts', 'bench/**/*.test.ts', 'docs/**/*.test.ts'],
        },
      },
      { test: { ...conformance, name: 'conformance', env: { TEST_DATABASE: 'postgres' } } },
      {
        test: {
          ...conformance,
          name: 'conformance-pglite',
          exclude: [...POSTGRES_ALONE, ...WHATEVER_DATABASE, ...ON_PGLITE_ANYWAY, ...EXAMPLES].map(
            (name) => `conformance/${name}.test.ts`,
          ),
          env: { TEST_DATABASE: 'pglite' },
        },
      },
      {
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
