import { randomBytes } from 'node:crypto'
import { describe, expect, inject, test } from 'vitest'
import { type Output, runCommandInProcess, startCommand } from './support/command-line.ts'
import { freePort } from './support/database-server.ts'

const SECRET = 'a-database-password'
const environment = {
  PATH: process.env.PATH ?? '',
  ENCRYPTION_KEY: randomBytes(32).toString('base64'),
  PORT: '0',
  MANAGEMENT_PORT: '0',
}

describe('an unreachable database', () => {
  test('is logged by a waiting server with host, port and reason', async () => {
    const port = await freePort()
    const DATABASE_URL = `postgres://user:${SECRET}@127.0.0.1:${port}/sallyport`
    const server = startCommand(['serve'], { ...environment, DATABASE_URL })
    try {
      await server.prints('database.unavailable')
      expect(JSON.parse(server.stdout().split('\n')[0] ?? '')).toMatchObject({
        event: 'database.unavailable',
        attempt: 1,
        host: '127.0.0.1',
        port,
        error_code: 'ECONNREFUSED',
        reason: `connect ECONNREFUSED 127.0.0.1:${port}`,
      })
      expect(server.stdout()).not.toContain(SECRET)
      // Ends the wait before the last attempt.
      server.child.kill('SIGTERM')
      expect(await server.exit).toBe(0)
      expect(server.stdout()).not.toContain('"attempt":10,')
    } finally {
      server.child.kill('SIGKILL')
    }
  })

  test('ends a command with one sentence', async () => {
    const port = await freePort()
    for (const words of [
      ['users', 'list'],
      ['migrate', '--plan'],
    ])
      expect(
        await command(words, `postgres://user:${SECRET}@127.0.0.1:${port}/sallyport`),
        words.join(' '),
      ).toEqual({
        code: 1,
        stdout: '',
        stderr: `No connection to the database at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}\n`,
      })
  })

  test.each([
    ['a wrong password', { password: SECRET }, 'password authentication failed for user'],
    ['an unknown database', { pathname: '/nowhere' }, 'database "nowhere" does not exist'],
    [
      'no TLS on the server',
      { search: '?sslmode=verify-full' },
      'The server does not support SSL connections',
    ],
  ])('ends a command in one sentence for %s', async (_name, change, reason) => {
    const url = Object.assign(new URL('/postgres', inject('postgresUrl')), change)
    const { code, stdout, stderr } = await command(['users', 'list'], url.href)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(`No connection to the database at 127.0.0.1:${url.port}: ${reason}`)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stderr).not.toContain(SECRET)
  })
})

function command(words: readonly string[], DATABASE_URL: string): Promise<Output> {
  return runCommandInProcess(words, { ...environment, DATABASE_URL })
}
