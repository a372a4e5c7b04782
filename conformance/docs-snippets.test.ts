import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocksOf, ROOT, readPages } from '../docs/build/markdown.ts'
import { commandsIn } from '../docs/build/shell.ts'
import { createSilentTerminal } from '../docs/build/terminal.ts'
import { run } from '../src/cli/program.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post } from './support/http.ts'
import { type LogoutReceiver, startLogoutReceiver } from './support/logout-receiver.ts'

const DOCUMENTED_ISSUER = 'http://localhost:4000'

/** Calls a function that a snippet exports. */
type Snippet = <Result = Record<string, unknown>>(name: string, ...parameters: unknown[]) => Promise<Result>
type Tokens = {
  access_token: string
  refresh_token: string
  scope: string
  id_token: string
  claims(): { sub: string }
}

let server: TestServer
let receiver: LogoutReceiver
let folder: string
let snippets: Map<string, string>
/** The answers of the curl commands, in order. */
const answers: Answer[] = []
const secrets = new Map<string, string>()

beforeAll(async () => {
  receiver = await startLogoutReceiver()
  server = await startTestServer({ OUTBOUND_ALLOWED_NETWORKS: '127.0.0.0/8' })
  await server.admin.users.create({ username: 'ada', name: 'Ada Lovelace', password: PASSWORD })
  // Within node_modules, so that the snippets' imports resolve.
  folder = await mkdtemp(join(ROOT, 'node_modules/.docs-'))
  const blocks = readPages().flatMap((page) =>
    codeBlocksOf(page).map((block) => ({ ...block, path: page.path })),
  )
  snippets = new Map(
    blocks
      .filter(({ info }) => info === 'js')
      .map(({ text }) => [/^\/\/ ([\w-]+)\.js$/m.exec(text)?.[1] ?? '', text]),
  )
  const commands = blocks.filter(({ path, info }) => path === 'docs/clients.md' && info === 'sh')
  for (const words of commands.flatMap(({ text }) => commandsIn(text))) await runCommand(words)
})
afterAll(async () => {
  await server?.remove()
  await receiver?.close()
  await rm(folder, { recursive: true, force: true })
})

/** Runs a command line of docs/clients.md against the test's server. */
async function runCommand([program, ...words]: readonly string[]): Promise<void> {
  if (program === 'npx') return await runSallyport(words.slice(1))
  if (program === 'node') return void (await load((words[0] ?? '').replace(/\.js$/, '')))
  if (program === 'curl') return void answers.push(await curl(words))
  throw new Error(`docs/clients.md runs ${program}, which this test cannot run`)
}

async function runSallyport(words: readonly string[]): Promise<void> {
  const own = words.map((word) => (word === 'public-keys.json' ? join(folder, word) : word))
  const { terminal, written } = createSilentTerminal(server.env)
  expect(await run([...own, '--json'], terminal), written.stderr).toBe(0)
  const { client_id, client_secret } = JSON.parse(written.stdout)
  if (client_secret) secrets.set(client_id, client_secret)
}

async function curl(words: readonly string[]) {
  const valuesOf = (option: string) => words.filter((_, index) => words[index - 1] === option)
  const url = words.find((word) => word.startsWith(DOCUMENTED_ISSUER)) ?? ''
  const [client_id] = valuesOf('-u').map((user) => user.split(':')[0] ?? '')
  const form = valuesOf('-d').map((pair) => /^([^=]*)=(.*)$/.exec(pair)?.slice(1) as [string, string])
  const as = client_id === undefined ? undefined : { client_id, client_secret: secretOf(client_id) }
  return await post(url.replace(DOCUMENTED_ISSUER, server.issuer), form, { as })
}

function secretOf(clientId: string): string {
  return secrets.get(clientId) ?? ''
}

/** Runs a snippet unchanged except for the issuer and its working directory. */
async function load(name: string, clientId = ''): Promise<Snippet> {
  const text = snippets.get(name)
  if (text === undefined) throw new Error(`no page has a snippet ${name}.js`)
  process.env.CLIENT_SECRET = secretOf(clientId)
  const file = join(folder, `${name}.mjs`)
  const here = text
    .replaceAll(DOCUMENTED_ISSUER, server.issuer)
    .replace(/'([\w-]+\.json)'/g, `'${folder}/$1'`)
  await writeFile(file, here)
  const exported = await import(pathToFileURL(file).href)
  return async (fn, ...parameters) => await exported[fn](...parameters)
}

async function signIn(url: unknown): Promise<string> {
  const { leftTo, html } = await new EndUser(server.issuer).signInAndAgree(String(url))
  expect(leftTo, html).toBeDefined()
  return leftTo?.href ?? ''
}

test('a web app signs a person in, refreshes and signs out', async () => {
  const app = await load('web', 'harbour')
  const { url, pending } = await app('startSignIn')
  const { tokens, person } = await app<{ tokens: Tokens; person: object }>(
    'finishSignIn',
    await signIn(url),
    pending,
  )
  expect(person).toMatchObject({ preferred_username: 'ada', name: 'Ada Lovelace' })
  expect(await app('refresh', tokens.refresh_token)).toMatchObject({ token_type: 'bearer' })
  const page = await new EndUser(server.issuer).open(await app<string>('signOutUrl', tokens.id_token))
  expect(page).toMatchObject({ status: 200, leftTo: undefined })
})

test('a web app gets a token for an API, which verifies it', async () => {
  const app = await load('web-api', 'harbour')
  const { url, pending } = await app('startSignIn')
  const { access_token } = await app('finishSignIn', await signIn(url), pending)
  const api = await load('api')
  expect(await api('authorize', access_token, 'read')).toMatchObject({ client_id: 'harbour', scope: 'read' })
  await expect(api('authorize', access_token, 'write')).rejects.toThrow('insufficient_scope')
})

test('an SPA signs a person in', async () => {
  const stored = new Map<string, string>()
  const location = { href: '', assign: (url: string) => Object.assign(location, { href: url }) }
  const sessionStorage = {
    getItem: (name: string) => stored.get(name),
    setItem: (name: string, value: string) => stored.set(name, value),
    removeItem: (name: string) => stored.delete(name),
  }
  Object.assign(globalThis, { location, sessionStorage })
  const app = await load('spa')
  await app('signIn')
  location.href = await signIn(location.href)
  expect((await app<Tokens>('completeSignIn')).claims()).toMatchObject({ aud: 'harbour-map' })
})

test('a desktop app signs a person in over a loopback port', async () => {
  const app = await load('native')
  const openBrowser = (url: string) => void signIn(url).then((callback) => fetch(callback))
  const tokens = await app<Tokens>('signIn', openBrowser)
  expect(tokens.scope.split(' ')).toContain('offline_access')
  expect(tokens.refresh_token).toBeDefined()
})

test('a device is connected by its code', async () => {
  const app = await load('device')
  const approve = async ({ verification_uri_complete }: { verification_uri_complete: string }) => {
    const person = new EndUser(server.issuer)
    const code = await person.open(verification_uri_complete)
    const login = await person.submit(await person.submit(code), {}, 'approve')
    const consent = await person.submit(login, { username: 'ada', password: PASSWORD })
    await person.submit(consent, {}, 'approve')
  }
  const show = (device: Parameters<typeof approve>[0]) => void approve(device)
  expect((await app<Tokens>('connect', show)).claims()).toMatchObject({ aud: 'harbour-tv' })
})

test.for([
  ['service', 'report'],
  ['service-key', 'audit'],
])('%s.js gets a token for itself, which the API verifies', async ([name = '', clientId = '']) => {
  const service = await load(name, clientId)
  const { access_token } = await service('getToken')
  const api = await load('api')
  expect(await api('authorize', access_token, 'read')).toMatchObject({ client_id: clientId, sub: clientId })
})

test('an API introspects an opaque token', async () => {
  const { body } = await post(
    `${server.issuer}/token`,
    { grant_type: 'client_credentials', scope: 'stock:read', resource: 'https://stock.harbour.example' },
    { as: { client_id: 'stock-sync', client_secret: secretOf('stock-sync') } },
  )
  const api = await load('api-introspection', 'stock-api')
  expect(await api('authorize', body.access_token, 'stock:read')).toMatchObject({ client_id: 'stock-sync' })
  await expect(api('authorize', 'unknown', 'stock:read')).rejects.toThrow('invalid_token')
})

test('an app verifies a logout token', async () => {
  const update = { client_id: 'harbour', backchannel_logout_uri: `${receiver.url}/harbour` }
  await server.admin.clients.update(update)
  const app = await load('web', 'harbour')
  const { url, pending } = await app('startSignIn')
  await app('finishSignIn', await signIn(url), pending)
  const { sub } = await server.admin.users.show({ username: 'ada' })
  await server.admin.users.signOut({ username: 'ada' })
  const [received] = await receiver.expect('/harbour')
  const endpoint = await load('receiver')
  expect(await endpoint('verifyLogoutToken', received?.token)).toMatchObject({ sub, sid: expect.any(String) })
  await expect(endpoint('verifyLogoutToken', 'not.a.token')).rejects.toThrow()
})

test('the curl commands get the responses that the page shows', () => {
  const [device, service] = answers
  expect(device?.body).toMatchObject({ interval: 5, expires_in: 600 })
  expect(service?.body).toMatchObject({ token_type: 'Bearer', expires_in: 600 })
})
