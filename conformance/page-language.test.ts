import { rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { load } from 'cheerio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { EndUser } from './support/end-user.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { createRelyingParty } from './support/relying-party.ts'
import { createRightToLeftFolder } from './support/right-to-left.ts'

const CALLBACK = 'https://app.example.test/callback'
const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 20"><script>alert(1)</script></svg>'

const folder = createRightToLeftFolder()
let server: TestServer
let app: ClientDocument

beforeAll(async () => {
  const logo = join(folder, 'logo.svg')
  await writeFile(logo, LOGO)
  await writeFile(join(folder, 'locales', 'fr.json'), '{"login.submit":"Entrer"}')
  await writeFile(join(folder, 'device-denied.eta'), '<p>ours</p>')
  server = await startTestServer({
    BRAND_NAME: 'Harbour & Sons',
    BRAND_LOGO_FILE: logo,
    BRAND_COLOR: '#0b7a4b',
    TEMPLATES_DIR: folder,
  })
  app = await server.admin.clients.create({ type: 'web', client_name: 'App', redirect_uris: [CALLBACK] })
})
afterAll(async () => {
  await server?.remove()
  await rm(folder, { recursive: true })
})

async function openLogin(parameters: Record<string, string>, acceptLanguage: string) {
  const relyingParty = await createRelyingParty(server.issuer, app, { redirectUri: CALLBACK })
  const person = new EndUser(server.issuer)
  person.headers['accept-language'] = acceptLanguage
  const { url } = await relyingParty.request({ scope: 'openid', ...parameters })
  return { person, page: await person.open(url) }
}

describe('the language of a page', () => {
  test.each([
    ['ui_locales names one (OIDC Core §3.1.2.1)', { ui_locales: 'de' }, 'ja', 'de', 'Anmelden'],
    ['ui_locales names an unavailable one first', { ui_locales: 'tlh es-MX' }, 'ja', 'es', 'Iniciar sesión'],
    ['Accept-Language names one (RFC 9110 §12.5.4)', {}, 'tlh, ja;q=0.8, de;q=0.3', 'ja', 'ログイン'],
    ['no available one is named', {}, 'tlh', 'en', 'Sign in'],
    ['the named ones are invalid', { ui_locales: '<script> "' }, '";,', 'en', 'Sign in'],
  ] as const)('when %s', async (_, parameters, acceptLanguage, language, heading) => {
    const { person, page } = await openLogin(parameters, acceptLanguage)
    for (const shown of [page, await person.submit(page, { username: 'nobody', password: 'wrong' })]) {
      expect(shown.$('html').attr('lang')).toBe(language)
      expect(shown.$('h1').text()).toBe(heading)
      expect(shown.headers.get('content-language')).toBe(language)
      expect(shown.headers.get('vary')).toContain('Accept-Language')
    }
  })

  test('applies to error pages, too; programs get English', async () => {
    const ask = (accept: string) =>
      fetch(`${server.issuer}/nowhere`, { headers: { accept, 'accept-language': 'fr' } })
    const page = load(await (await ask('text/html')).text())
    expect(page('h1').text()).toBe('Il n’y a rien ici')
    const answer = await ask('application/json')
    expect(await answer.json()).toEqual({ error: 'not_found' })
    expect(answer.headers.get('content-language')).toBeNull()
  })

  test('can be a right-to-left language that an operator added', async () => {
    const { page } = await openLogin({ ui_locales: 'he' }, 'en')
    expect([page.$('html').attr('lang'), page.$('html').attr('dir')]).toEqual(['he', 'rtl'])
  })
})

describe('a customised installation', () => {
  test('shows the operator’s name on pages, escaped', async () => {
    const html = await (await fetch(server.issuer, { headers: { accept: 'text/html' } })).text()
    const page = load(html)
    expect(page('.brand').text()).toBe('Harbour & Sons')
    expect(page('title').text()).toContain('Harbour & Sons')
    expect(html).not.toContain('Sallyport')
  })

  test('has the operator’s colours in the style sheet, in both schemes', async () => {
    const page = load(await (await fetch(server.issuer, { headers: { accept: 'text/html' } })).text())
    const style = await (
      await fetch(new URL(String(page('link[rel=stylesheet]').attr('href')), server.issuer))
    ).text()
    expect(style).toContain(':root { --accent: #0b7a4b; --on-accent: #ffffff }')
    expect(style).toMatch(
      /prefers-color-scheme: dark\) \{ :root \{ --accent: #\w{6}; --on-accent: #000000 \}/,
    )
  })

  test('reserves the size of the logo, which runs no script when opened alone (CSP 3 sandbox)', async () => {
    const page = load(await (await fetch(server.issuer, { headers: { accept: 'text/html' } })).text())
    const image = page('.brand img')
    expect([image.attr('width'), image.attr('height'), image.attr('alt')]).toEqual(['84', '28', ''])
    const answer = await fetch(new URL(String(image.attr('src')), server.issuer))
    expect(answer.headers.get('content-type')).toContain('image/svg+xml')
    expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'.*sandbox$/)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('replaces single messages', async () => {
    const { page } = await openLogin({ ui_locales: 'fr' }, 'en')
    expect(page.$('button').text()).toBe('Entrer')
    expect(page.$('h1').text()).toBe('Connexion')
  })

  test.each([
    [{ BRAND_COLOR: '#ffff00' }, /BRAND_COLOR #ffff00 has a contrast of 1\.\d+:1/],
    [{ BRAND_COLOR: 'red' }, /BRAND_COLOR must be a colour/],
    [{ BRAND_COLOR_DARK: '#9db1ff' }, /BRAND_COLOR_DARK needs BRAND_COLOR/],
    [{ BRAND_LOGO_FILE: '/nowhere.png' }, /BRAND_LOGO_FILE .*cannot be read/],
    [{ TEMPLATES_DIR: '/nowhere' }, /TEMPLATES_DIR must be a folder/],
    [{ BRAND_NAME: 'x'.repeat(61), BRAND_COLOR: 'red' }, /BRAND_NAME.*\n.*BRAND_COLOR/],
  ])('reports the error %j at start', async (settings, words) => {
    await expect(startTestServer(settings)).rejects.toThrow(words)
  })
})

test('assets are cached by browsers, and requested again after a change', async () => {
  const page = load(await (await fetch(server.issuer, { headers: { accept: 'text/html' } })).text())
  const script = page('script')
  const answer = await fetch(new URL(String(script.attr('src')), server.issuer))
  expect(answer.headers.get('content-type')).toContain('javascript')
  expect(answer.headers.get('cache-control')).toMatch(/^public, max-age=\d+$/)
  const etag = String(answer.headers.get('etag'))
  expect(await statusOf(answer.url, { 'if-none-match': etag })).toBe(304)
  expect(await statusOf(answer.url, { 'if-none-match': '"other"' })).toBe(200)
})

/** Removes the headers of `fetch` that bypass caches. */
function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((done, fail) => {
    get(url, { headers }, (response) => {
      response.resume()
      done(response.statusCode)
    }).on('error', fail)
  })
}
