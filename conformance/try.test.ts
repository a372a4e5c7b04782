import { spawn } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'

const MAIN = new URL('../src/main.ts', import.meta.url).pathname

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', name: 'Ada Lovelace', password: PASSWORD })
  await server.admin.clients.create({
    type: 'native',
    client_id: 'demo-web',
    client_name: 'Demo',
    redirect_uris: ['http://127.0.0.1/callback'],
  })
  await server.admin.clients.create({ type: 'device', client_id: 'demo-device', client_name: 'Demo TV' })
})
afterAll(() => server?.remove())

/** Runs `sallyport try …`; `act` is called once with the first URL that it asks a person to open. */
async function attempt(words: readonly string[], act: (url: string) => Promise<void>) {
  const child = spawn(process.execPath, [MAIN, 'try', ...words, '--issuer', server.issuer, '--json'])
  let [stdout, stderr] = ['', '']
  let acting: Promise<void> | undefined
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
    const [url] = /http:\/\/localhost\S+(authorize|user_code)\S+/.exec(stderr) ?? []
    if (url && stderr.includes('Waiting')) acting ??= act(url)
  })
  const code = await new Promise<number | null>((done) => child.on('close', done))
  await acting
  return { code, stdout, stderr }
}

test('try code ends with verified tokens and userinfo', async () => {
  const { code, stdout, stderr } = await attempt(['code'], async (url) => {
    const { leftTo } = await new EndUser(server.issuer).signInAndAgree(url)
    if (!leftTo) throw new Error('not sent back')
    // A callback of another sign-in is rejected.
    expect((await fetch(new URL('/callback?state=other&code=x', leftTo))).status).toBe(404)
    expect((await fetch(new URL('/elsewhere', leftTo))).status).toBe(404)
    expect(await (await fetch(leftTo)).text()).toContain('close this tab')
  })
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(JSON.parse(stdout)).toMatchObject({
    token_type: 'bearer',
    id_token_claims: { iss: server.issuer, aud: 'demo-web' },
    userinfo: { preferred_username: 'ada', name: 'Ada Lovelace' },
  })
})

test('try code reports a denial and fails', async () => {
  const { code, stdout, stderr } = await attempt(['code'], async (url) => {
    const user = new EndUser(server.issuer)
    const consent = await user.submit(await user.open(url), { username: 'ada', password: PASSWORD })
    const { leftTo } = await user.submit(consent, {}, 'deny')
    await fetch(leftTo ?? '')
  })
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('The server refused: access_denied')
})

test('try device shows a code and ends with tokens once it is approved', async () => {
  const { code, stdout } = await attempt(['device'], async (url) => {
    const user = new EndUser(server.issuer)
    const confirm = await user.submit(await user.open(url))
    const login = await user.submit(confirm, {}, 'approve')
    const consent = await user.submit(login, { username: 'ada', password: PASSWORD })
    expect((await user.submit(consent, {}, 'approve')).$('h1').text()).toContain('connected')
  })
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    id_token_claims: { aud: 'demo-device' },
    userinfo: { preferred_username: 'ada' },
  })
})
