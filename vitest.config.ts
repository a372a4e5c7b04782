import { defineConfig } from 'vitest/config'

const conformance = {
  include: ['conformance/*.test.ts'],
  globalSetup: ['conformance/support/database-server.ts'],
  testTimeout: 60_000,
  hookTimeout: 60_000,
}

export default defineConfig({
  test: {
    // Two cores: a server, its database and its client share them.
    maxWorkers: 2,
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'bench/**/*.test.ts'] } },
      { test: { ...conformance, name: 'conformance', env: { TEST_DATABASE: 'postgres' } } },
      // The command line's own tests run on the embedded database in any case.
      {
        test: {
          ...conformance,
          name: 'conformance-pglite',
          exclude: ['conformance/cli.test.ts', 'conformance/try.test.ts'],
          env: { TEST_DATABASE: 'pglite' },
        },
      },
      {
        test: {
          ...conformance,
          name: 'browser',
          include: ['conformance/browser/*.test.ts'],
          env: { TEST_DATABASE: 'postgres' },
        },
      },
    ],
  },
})
