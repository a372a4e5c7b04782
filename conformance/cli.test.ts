import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Output,
  type RunningCommand,
  runCommand,
  runCommandInProcess,
  startCommand,
} from './support/command-line.ts'
import { freePort } from './support/database-server.ts'

let folder: string
let environment: Record<string, string>
/** A second data folder. The first test that needs it creates its database, which takes longer than most tests. */
let second: { DATA_DIR: string }
let server: RunningCommand
let firstStartMilliseconds: number

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-cli-'))
  const [port, managementPort] = [await freePort(), await freePort()]
  environment = {
    PATH: process.env.PATH ?? '',
    PORT: String(port),
    MANAGEMENT_PORT: String(managementPort),
    DATA_DIR: join(folder, 'data'),
  }
  second = { DATA_DIR: join(folder, 'second') }
  // With the permissions of a default umask.
  await mkdir(join(folder, 'data'))
  await chmod(join(folder, 'data'), 0o755)
  const startedAt = performance.now()
  server = start(['serve'])
  await server.prints('Stop with Ctrl-C')
  firstStartMilliseconds = performance.now() - startedAt
})
afterAll(async () => {
  server.child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

describe('the first start', () => {
  test('prints instructions, and its command for a token works as printed', async () => {
    const issuer = `http://localhost:${environment.PORT}`
    expect(server.stdout()).toContain(`${issuer}/.well-known/openid-configuration`)
    const [, secret = ''] = /demo-service +(\S+)/.exec(server.stdout()) ?? []
    const { code, stdout } = await sallyportProcess(['try', 'service', '--client-secret', secret, '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      scope: 'read',
      access_token_claims: { iss: issuer, aud: 'https://api.example.test', sub: 'demo-service' },
    })
  })

  test('leaves no printed secret and no private key in the database files', async () => {
    const [, password = ''] = /password +(\S+)/.exec(server.stdout()) ?? []
    const [, secret = ''] = /demo-service +(\S+)/.exec(server.stdout()) ?? []
    expect(password.length).toBeGreaterThan(40)
    const files = await filesUnder(join(folder, 'data', 'postgres'))
    expect(files.length).toBeGreaterThan(100)
    for (const file of files) {
      const bytes = await readFile(file)
      for (const needle of [password, secret, '"d":"'])
        expect(bytes.includes(needle), `${needle} in ${file}`).toBe(false)
    }
  })

  test('removes permissions of other users in an existing folder (CWE-732)', async () => {
    expect(server.stdout()).toContain('data_folder.tightened')
    const data = join(folder, 'data')
    const names = ['.', ...(await readdir(data, { recursive: true }))]
    expect(names).toEqual(expect.arrayContaining(['encryption.key', 'sallyport.sock', 'postgres/PG_VERSION']))
    const open = await Promise.all(names.map(async (name) => (await lstat(join(data, name))).mode & 0o077))
    expect(names.filter((_, index) => open[index] !== 0)).toEqual([])
  })
})

describe('the command line beside a running server', () => {
  test('creates a client that works at once', async () => {
    const created = await sallyportProcess([
      'clients',
      'create',
      '--type',
      'service',
      '--name',
      'Robot',
      '--resource',
      'https://api.example.test',
      '--json',
    ])
    expect(created).toMatchObject({ code: 0, stderr: '' })
    const { client_id, client_secret } = JSON.parse(created.stdout)
    const tried = await sallyportProcess([
      'try',
      'service',
      '--client-id',
      client_id,
      '--client-secret',
      client_secret,
      '--resource',
      'https://api.example.test',
      '--scope',
      'write',
      '--json',
    ])
    expect(JSON.parse(tried.stdout)).toMatchObject({ scope: 'write', access_token_claims: { client_id } })
  })

  test('shows a secret once and never again', async () => {
    const created = await sallyport([
      'clients',
      'create',
      '--type',
      'web',
      '--name',
      'Site',
      '--client-id',
      'site',
      '--redirect-uri',
      'https://site.test/cb',
    ])
    const [, secret = ''] = /client_secret +(\S+)/.exec(created.stdout) ?? []
    expect(secret).toHaveLength(43)
    const shown = await Promise.all(
      [
        ['clients', 'list'],
        ['clients', 'show', 'site'],
        ['clients', 'list', '--json'],
      ].map((words) => sallyport(words)),
    )
    for (const { stdout } of shown) {
      expect(stdout).toContain('site')
      expect(stdout).not.toContain(secret)
    }
  })

  test('creates, lists, shows, changes, disables, enables, signs out and deletes a person', async () => {
    const words = [
      'users',
      'create',
      '--username',
      'grace',
      '--email',
      'grace@example.test',
      '--name',
      'Grace Hopper',
      '--password-stdin',
      '--json',
    ]
    const created = await sallyport(words, 'velvet kettle harbor nineteen\n')
    expect(JSON.parse(created.stdout)).toMatchObject({
      username: 'grace',
      status: 'active',
      profile: { name: 'Grace Hopper' },
    })
    expect(created.stdout).not.toContain('velvet kettle')
    expect(JSON.parse((await sallyport(['users', 'list', '--json'])).stdout)).toHaveLength(2)
    expect((await sallyport(['users', 'show', 'GRACE@example.test'])).stdout).toContain('grace')
    expect(
      (
        await sallyport(
          ['users', 'set-password', 'grace', '--password-stdin'],
          'another long enough password',
        )
      ).code,
    ).toBe(0)
    expect(
      JSON.parse((await sallyport(['users', 'disable', 'grace', '--yes', '--json'])).stdout).status,
    ).toBe('disabled')
    expect(JSON.parse((await sallyport(['users', 'enable', 'grace', '--json'])).stdout).status).toBe('active')
    expect(
      JSON.parse((await sallyport(['users', 'sign-out', 'grace', '--yes', '--json'])).stdout),
    ).toMatchObject({ sessions: 0, grants: 0 })
    expect((await sallyport(['users', 'delete', 'grace', '--yes'])).code).toBe(0)
    expect(await sallyport(['users', 'show', 'grace'])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'There is no person called grace.\n',
    })
  })

  test('rejects passwords that no form can submit', async () => {
    const create = ['users', 'create', '--username', 'odd', '--password-stdin']
    const control = { code: 1, stdout: '', stderr: expect.stringContaining('without control characters') }
    for (const password of ['correct horse\0 battery', 'correct horse\nbattery staple\n'])
      expect(await sallyport(create, password)).toMatchObject(control)
    expect(await sallyport(create, Buffer.from('correct horse b\xe4ttery', 'latin1'))).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('not UTF-8'),
    })
    const set = ['users', 'set-password', 'demo', '--password-stdin']
    expect(await sallyport(set, 'correct horse\tbattery')).toMatchObject(control)
  })

  test('registers and deletes an API, lists keys, runs the cleanup, and reports health', async () => {
    const created = await sallyport([
      'resources',
      'create',
      '--identifier',
      'https://other.test',
      '--scope',
      'a b',
      '--format',
      'opaque',
      '--json',
    ])
    expect(JSON.parse(created.stdout)).toMatchObject({
      identifier: 'https://other.test',
      scope: 'a b',
      format: 'opaque',
    })
    expect(JSON.parse((await sallyport(['resources', 'list', '--json'])).stdout)).toHaveLength(2)
    expect((await sallyport(['resources', 'delete', 'https://other.test', '--yes'])).code).toBe(0)
    expect(
      JSON.parse((await sallyport(['keys', 'list', '--json'])).stdout)
        .map(({ alg }: { alg: string }) => alg)
        .sort(),
    ).toEqual(['ES256', 'EdDSA', 'RS256'])
    expect(JSON.parse((await sallyport(['cleanup', '--dry-run', '--json'])).stdout)).toEqual({
      grants: 0,
      tokens: 0,
      sessions: 0,
      artifacts: 0,
      browsers: 0,
      answers: 0,
      attempts: 0,
      links: 0,
      events: 0,
    })
    expect(JSON.parse((await sallyport(['migrate', '--plan', '--json'])).stdout)).toEqual({ migrations: [] })
    expect(JSON.parse((await sallyport(['doctor', '--json'])).stdout).healthy).toBe(true)
    expect(await sallyport(['healthcheck'])).toMatchObject({ code: 0, stdout: 'ready\n' })
  })

  test('lists audit events, and names arguments that it does not understand', async () => {
    const listed = JSON.parse(
      (await sallyport(['events', 'list', '--type', 'client.created', '--json'])).stdout,
    )
    expect(listed.map(({ type }: { type: string }) => type)).toContain('client.created')
    const lines = (await sallyport(['events', 'list', '--since', '1h'])).stdout
    expect(lines).toMatch(/\d\d:\d\d:\d\dZ {2}client\.created /)
    expect(Math.max(...lines.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(120)
    expect(await sallyport(['events', 'list', '--type', 'client.create', '--type', 'session.ended'])).toEqual(
      {
        code: 2,
        stdout: '',
        stderr: '--type: client.create is no type of event; did you mean client.created or client.updated?\n',
      },
    )
    const wrongs = [
      ['--since', 'yesterday'],
      ['--since', '5'],
      ['--until', '2026-13-01'],
      ['--limit', 'x'],
      ['--limit', '0'],
      ['--limit', '1001'],
    ]
    expect(await Promise.all(wrongs.map((wrong) => sallyport(['events', 'list', ...wrong])))).toMatchObject(
      wrongs.map(([, value]) => ({ code: 2, stdout: '', stderr: expect.stringContaining(value ?? '') })),
    )
    const nobody = { code: 1, stdout: '', stderr: 'There is no person called nobody.\n' }
    expect(
      await Promise.all(
        ['follow', 'list'].map((command) => sallyport(['events', command, '--user', 'nobody'])),
      ),
    ).toEqual([nobody, nobody])
  })

  test('follows audit events until Ctrl-C, or until its output is closed', async () => {
    const following = start(['events', 'follow', '--type', 'account.created', '--since', '1h', '--json'])
    await following.prints('"username":"demo"')
    await sallyport(['users', 'create', '--username', 'followed'])
    await following.prints('"username":"followed"')
    const lines = following.stdout().trim().split('\n')
    expect(lines.filter((line) => JSON.parse(line).username === 'followed')).toHaveLength(1)
    following.child.kill('SIGTERM')
    expect(await following.exit).toBe(0)
    expect(following.stderr()).toBe('')

    const left = start(['events', 'follow', '--since', '1h'])
    await left.prints('key.created')
    left.child.stdout.destroy()
    await sallyport(['users', 'create', '--username', 'unread'])
    expect(await left.exit).toBe(0)
    expect(left.stderr()).toBe('')
  })

  test('runs concurrent commands', async () => {
    const results = await Promise.all(
      [1, 2, 3].map((n) => sallyportProcess(['users', 'create', '--username', `person${n}`, '--json'])),
    )
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0])
  })

  test.each([
    ['an unknown command', ['bogus']],
    ['an unknown option', ['clients', 'list', '--bogus']],
    ['a missing option', ['resources', 'create', '--identifier', 'https://x.test']],
    ['a destructive command without --yes or a terminal', ['users', 'delete', 'demo']],
    ['an unknown client type', ['clients', 'create', '--type', 'desktop', '--name', 'X']],
  ])('rejects %s with exit code 2 and nothing on stdout', async (_what, words) => {
    const { code, stdout, stderr } = await sallyportProcess(words)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).not.toBe('')
  })

  test.each([
    [
      'a short password',
      ['users', 'create', '--username', 'x', '--password-stdin'],
      'at least 15 characters',
    ],
    ['a name that is taken, in another spelling', ['users', 'create', '--username', 'ＤＥＭＯ'], 'taken'],
    [
      'a redirect URI on http',
      ['clients', 'create', '--type', 'web', '--name', 'X', '--redirect-uri', 'http://x.test/cb'],
      'must use https',
    ],
    [
      'an unknown resource',
      ['clients', 'create', '--type', 'service', '--name', 'X', '--resource', 'https://nowhere.test'],
      'there is no resource',
    ],
  ])('rejects %s with exit code 1 and the reason', async (_what, words, reason) => {
    const { code, stdout, stderr } = await sallyportProcess(words, 'short')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(reason)
    expect(stderr).not.toMatch(/\n +at /)
  })

  test('prints help for every command', async () => {
    const { stdout } = await sallyport(['--help'])
    const commands = [...stdout.matchAll(/^ {2}([a-z]+)/gm)]
      .map(([, name = '']) => name)
      .filter((name) => name !== 'help')
    expect(commands).toEqual([
      'serve',
      'migrate',
      'clients',
      'users',
      'resources',
      'keys',
      'events',
      'cleanup',
      'try',
      'doctor',
      'healthcheck',
    ])
    const helped = await Promise.all(commands.map((command) => sallyport([command, '--help'])))
    expect(helped.map(({ code }) => code)).toEqual(commands.map(() => 0))
  })
})

describe('the process', () => {
  test('refuses to start beside another server on the same folder', async () => {
    expect(await sallyportProcess(['serve'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Another Sallyport process is using'),
    })
  })

  test('exits with 0 on Ctrl-C, and restarts quickly without printing secrets', async () => {
    server.child.kill('SIGINT')
    expect(await server.exit).toBe(0)
    const startedAt = performance.now()
    server = start(['serve'])
    await server.prints('Sallyport is ready')
    // The first start, which does more, adapts the limit to a busy machine.
    expect(performance.now() - startedAt).toBeLessThan(Math.max(10_000, 2 * firstStartMilliseconds))
    expect(server.stdout()).not.toContain('password')
  })

  test('of events follow waits while no server runs, lets one start, and misses no event', async () => {
    const following = start(['events', 'follow', '--type', 'account.created', '--since', '1h'])
    await following.prints('demo')
    server.child.kill('SIGINT')
    await server.exit
    await following.warns('Waiting for the database: no server is running')
    await sallyport(['users', 'create', '--username', 'meanwhile'])
    server = start(['serve'])
    await server.prints('Sallyport is ready')
    await following.warns('The database answers again.')
    await following.prints('meanwhile')
    following.child.kill('SIGTERM')
    expect(await following.exit).toBe(0)
  })

  test('starts again after SIGKILL with all acknowledged data', async () => {
    await sallyportProcess(['users', 'create', '--username', 'survivor'])
    server.child.kill('SIGKILL')
    await server.exit
    expect((await sallyportProcess(['users', 'show', 'survivor', '--json'])).code).toBe(0)
    server = start(['serve'])
    await server.prints('Sallyport is ready')
  })

  test('refuses to start with another master key, and says so', async () => {
    server.child.kill('SIGINT')
    await server.exit
    const { code, stderr } = await sallyportProcess(['serve'], '', {
      ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64'),
    })
    expect(code).toBe(1)
    expect(stderr).toContain('ENCRYPTION_KEY does not open the signing keys')
    expect(stderr).not.toMatch(/\n +at /)
  })

  test('refuses to start without its key, and creates no other', async () => {
    await rm(join(folder, 'data', 'encryption.key'))
    const { code, stderr } = await sallyportProcess(['users', 'list'])
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('encryption.key is missing'),
    })
    expect(await readdir(join(folder, 'data'))).not.toContain('encryption.key')
  })

  test('reports all errors of the configuration together', async () => {
    const { code, stderr } = await sallyportProcess(['serve'], '', {
      ISUER: 'x',
      PORT: 'abc',
      ISSUER: 'http://login.test',
    })
    expect(code).toBe(1)
    for (const name of ['did you mean ISSUER', 'PORT must', 'ISSUER must use https'])
      expect(stderr).toContain(name)
  })

  test('ends on SIGTERM during its start', async () => {
    // A fast machine may finish the start: without demo data, because later tests need an empty database.
    const starting = start(['serve', '--no-demo'], {
      ...second,
      PORT: String(await freePort()),
      MANAGEMENT_PORT: String(await freePort()),
    })
    await starting.prints('migrated')
    starting.child.kill('SIGTERM')
    expect(await starting.exit).toBe(0)
  })

  test('creates no data with --no-demo', async () => {
    const running = start(['serve', '--no-demo'], second)
    await running.prints('Sallyport is ready')
    expect(JSON.parse((await sallyport(['users', 'list', '--json'], '', second)).stdout)).toEqual([])
    running.child.kill('SIGINT')
    await running.exit
  })

  test('prints the secrets at the next start when a port was in use at the first', async () => {
    const taken = createServer()
    await new Promise<void>((done) => taken.listen(Number(environment.PORT), '127.0.0.1', done))
    expect(await sallyportProcess(['serve'], '', second)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('another program listens there'),
    })
    await new Promise((done) => taken.close(done))
    const running = start(['serve'], second)
    await running.prints('Sallyport is ready')
    await running.prints('Stop with Ctrl-C')
    expect(running.stdout()).toMatch(/password +\S{40}/)
    running.child.kill('SIGINT')
    await running.exit
  })

  test('of each concurrent command waits for the database without a server', async () => {
    const results = await Promise.all([1, 2, 3, 4].map(() => sallyportProcess(['users', 'list'], '', second)))
    expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      Array(4).fill({ code: 0, stderr: '' }),
    )
  })

  test('of a command does the same work without a server', async () => {
    const words = [
      'clients',
      'create',
      '--type',
      'web',
      '--name',
      'X',
      '--client-id',
      'x',
      '--redirect-uri',
      'https://x.test/cb',
    ]
    expect(
      JSON.parse((await sallyportProcess([...words, '--no-pkce', '--json'], '', second)).stdout).require_pkce,
    ).toBe(false)
    const renamed = await sallyport(['clients', 'update', 'x', '--name', 'Y', '--json'], '', second)
    expect(JSON.parse(renamed.stdout)).toMatchObject({ client_name: 'Y', require_pkce: false })
    const strict = await sallyport(['clients', 'update', 'x', '--pkce', '--json'], '', second)
    expect(JSON.parse(strict.stdout)).toMatchObject({ client_name: 'Y', require_pkce: true })
    const person = await sallyport(['users', 'create', '--username', 'solo', '--json'], '', second)
    expect(JSON.parse(person.stdout)).toMatchObject({ username: 'solo', profile: {} })
    const api = [
      'resources',
      'create',
      '--identifier',
      'https://solo.test',
      '--scope',
      'a',
      '--format',
      'jwt',
      '--json',
    ]
    expect(JSON.parse((await sallyport(api, '', second)).stdout).signing_alg).toBe('RS256')
  })

  test('logs the addresses that the listeners are bound to', async () => {
    const [port, managementPort] = [await freePort(), await freePort()]
    const running = start(['serve'], {
      ...second,
      HOST: '0.0.0.0',
      PORT: String(port),
      MANAGEMENT_HOST: '127.0.0.1',
      MANAGEMENT_PORT: String(managementPort),
    })
    await running.prints('Sallyport is ready')
    await running.prints(`"address":"0.0.0.0:${port}","management":"127.0.0.1:${managementPort}"`)
    running.child.kill('SIGINT')
    await running.exit
  })
})

function start(words: readonly string[], more: Record<string, string> = {}): RunningCommand {
  return startCommand(words, { ...environment, ...more })
}

/** Runs a command in this process. */
function sallyport(
  words: readonly string[],
  input: string | Uint8Array = '',
  more: Record<string, string> = {},
): Promise<Output> {
  return runCommandInProcess(words, { ...environment, ...more }, input)
}

/** Runs a command in a separate process: for exit codes, and for locks between processes. */
function sallyportProcess(
  words: readonly string[],
  input: string | Uint8Array = '',
  more: Record<string, string> = {},
): Promise<Output> {
  return runCommand(words, { ...environment, ...more }, input)
}

async function filesUnder(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
