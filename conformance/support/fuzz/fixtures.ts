import { createHash, randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { expect } from 'vitest'
import { fromNewNetwork } from '../client-network.ts'
import { createTestClient, type TestClient } from '../code-flow.ts'
import { startDevice } from '../device-flow.ts'
import { EndUser, type Page } from '../end-user.ts'
import { PASSWORD, type TestServer } from '../harness.ts'
import { basic, post, send } from '../http.ts'
import type { MailServer } from '../mailbox.ts'
import { CALLBACK } from '../relying-party.ts'

const NAMES = [
  'clientId',
  'clientBasic',
  'redirectUri',
  'postLogoutRedirectUri',
  'serviceId',
  'serviceSecret',
  'keyedId',
  'deviceId',
  'username',
  'password',
  'codeChallenge',
  'codeVerifier',
  'code',
  'requestUri',
  'accessToken',
  'refreshToken',
  'idToken',
  'clientAssertion',
  'deviceCode',
  'approvedDeviceCode',
  'userCode',
  'session',
  'accountCsrf',
  'browserId',
  'signInCookies',
  'signInCsrf',
  'loginUid',
  'loginCookies',
  'loginCsrf',
  'consentUid',
  'consentCookies',
  'consentCsrf',
  'resumeUid',
  'resumeCookies',
  'deviceCookies',
  'deviceXsrf',
  'deviceResumeUid',
  'deviceResumeCookies',
  'logoutCookies',
  'logoutXsrf',
  'email',
  'newUsername',
  'newEmail',
  'askingCookies',
  'askingCsrf',
  'registerLink',
  'registerCookies',
  'registerCsrf',
  'resetLink',
  'resetCookies',
  'resetCsrf',
  'emailCookies',
  'emailCsrf',
] as const

/** Values that are valid at this server: clients, tokens, codes, forms. */
export type Ingredient = (typeof NAMES)[number]
export const INGREDIENTS: readonly Ingredient[] = NAMES

/** The current ingredients. Requests spend them, so they are created again from time to time. */
export type Fixtures = Readonly<Record<Ingredient, string>>

const NEW_PASSWORD = 'an entirely different horse'
const POST_LOGOUT = 'https://app.example.test/bye'

/** Registers the clients and people of the requests. @returns a function that creates ingredients. */
export async function createFixtures(server: TestServer, mail: MailServer): Promise<() => Promise<Fixtures>> {
  const { clients } = server.admin
  const registration = { post_logout_redirect_uris: [POST_LOGOUT], client_name: `Da "sh" & <b>'Board'</b>` }
  const app = await createTestClient(server, registration)
  const trusted = await createTestClient(server, { first_party: true })
  const service = await clients.create({ type: 'service', client_name: 'Bot' })
  const device = await clients.create({ type: 'device', client_name: 'TV <i>' })
  const keys = await generateKeyPair('RS256')
  const keyed = await clients.create({
    type: 'service',
    client_name: 'Keyed',
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [{ ...(await exportJWK(keys.publicKey)), use: 'sig', alg: 'RS256' }] },
  })
  const assertion = () =>
    new SignJWT({ iss: keyed.client_id, sub: keyed.client_id, aud: server.issuer, jti: randomUUID() })
      .setProtectedHeader({ alg: 'RS256' })
      .setExpirationTime('4 minutes')
      .sign(keys.privateKey)
  const start = () => startDevice(server, device, { scope: 'openid' }, fromNewNetwork())
  let made = 0

  return async () => {
    // A new person each time, because requests disable accounts and reach rate limits.
    const username = `ada-${++made}`
    const email = `${username}@example.test`
    await server.admin.users.create({ username, email, password: PASSWORD })
    const cookiesFor = (user: EndUser, path: string) => user.jar.getCookieString(server.issuer + path)
    const fresh = async () => {
      const user = new EndUser(server.issuer)
      // Preparation must not reach the request rate limit.
      user.headers = fromNewNetwork()
      return user
    }
    const login = async (from: TestClient) => {
      const user = await fresh()
      const page = await user.open((await from.request({ scope: 'openid profile offline_access' })).url)
      return { user, page, path: new URL(page.url).pathname }
    }

    const signedIn = await fresh()
    const tokens = await trusted.getTokens({ scope: 'openid offline_access' }, signedIn, username)
    const approval = await app.getCode({}, signedIn, username)
    const account = await signedIn.open('/account')
    const logout = await signedIn.open('/logout')
    const own = await app.getTokens({ scope: 'openid offline_access' }, signedIn, username)
    const loginPage = await login(app)
    const toConsent = await login(await createTestClient(server))
    const consent = await toConsent.user.submit(toConsent.page, { username, password: PASSWORD })
    const consentPath = new URL(consent.url).pathname
    const toResume = await login(app)
    const resumePath = await answerLogin(server, toResume, username)
    const stranger = await fresh()
    const signIn = await stranger.open('/account/sign-in')
    const phone = await fresh()
    const devicePage = await phone.open('/device')
    const [started, approved, halfWay] = [await start(), await start(), await start()]
    const tablet = await fresh()
    const confirm = await tablet.submit(await tablet.open('/device'), { user_code: halfWay.user_code })
    const deviceLogin = { user: tablet, page: await tablet.submit(confirm, {}, 'approve') }
    const deviceResumePath = await answerLogin(server, deviceLogin, username)
    await approve(signedIn, approved.user_code)
    const asking = await fresh()
    const askReset = await asking.open('/account/reset')
    await asking.submit(askReset, { username })
    const reset = await openLink(mail, await fresh(), email)
    const newEmail = `new-${email}`
    const registrant = await fresh()
    const newUsername = `new-${username}`
    const form = { email: newEmail, username: newUsername, new_password: NEW_PASSWORD }
    await registrant.submit(await registrant.open('/account/register'), form)
    const register = await openLink(mail, registrant, newEmail)
    const changed = `other-${email}`
    await signedIn.submit(await signedIn.open('/account/email'), { email: changed })
    const emailLink = await openLink(mail, await fresh(), changed)
    const { code_verifier = '', code = '' } = approval.form
    const pushed = await post(
      `${server.url}/par`,
      Object.fromEntries((await app.request()).url.searchParams),
      { as: app.client, headers: fromNewNetwork() },
    )
    expect(pushed.status, pushed.text).toBe(201)

    return {
      clientId: app.client.client_id,
      clientBasic: basic(app.client),
      redirectUri: CALLBACK,
      postLogoutRedirectUri: POST_LOGOUT,
      serviceId: service.client_id,
      serviceSecret: service.client_secret ?? '',
      keyedId: keyed.client_id,
      deviceId: device.client_id,
      username,
      password: PASSWORD,
      codeVerifier: code_verifier,
      codeChallenge: createHash('sha256').update(code_verifier).digest('base64url'),
      code,
      requestUri: String(pushed.body.request_uri),
      accessToken: tokens.accessToken,
      refreshToken: own.refreshToken,
      idToken: own.idToken,
      clientAssertion: await assertion(),
      deviceCode: started.device_code,
      userCode: started.user_code,
      approvedDeviceCode: approved.device_code,
      session: await cookiesFor(signedIn, '/account'),
      accountCsrf: fieldOf(account, 'csrf'),
      browserId: fieldOf(account, 'id'),
      signInCookies: await cookiesFor(stranger, '/account/sign-in'),
      signInCsrf: fieldOf(signIn, 'csrf'),
      loginUid: lastOf(loginPage.path),
      loginCookies: await cookiesFor(loginPage.user, loginPage.path),
      loginCsrf: fieldOf(loginPage.page, 'csrf'),
      consentUid: lastOf(consentPath),
      consentCookies: await cookiesFor(toConsent.user, consentPath),
      consentCsrf: fieldOf(consent, 'csrf'),
      resumeUid: lastOf(resumePath),
      resumeCookies: await cookiesFor(toResume.user, resumePath),
      deviceCookies: await cookiesFor(phone, '/device'),
      deviceXsrf: fieldOf(devicePage, 'xsrf'),
      deviceResumeUid: lastOf(deviceResumePath),
      deviceResumeCookies: await cookiesFor(tablet, deviceResumePath),
      logoutCookies: await cookiesFor(signedIn, '/logout/confirm'),
      logoutXsrf: fieldOf(logout, 'xsrf'),
      email,
      newUsername,
      newEmail,
      askingCookies: await cookiesFor(asking, '/account/reset'),
      askingCsrf: fieldOf(askReset, 'csrf'),
      registerLink: register.link,
      registerCookies: await cookiesFor(register.user, '/account/register/confirm'),
      registerCsrf: fieldOf(register.page, 'csrf'),
      resetLink: reset.link,
      resetCookies: await cookiesFor(reset.user, '/account/reset/password'),
      resetCsrf: fieldOf(reset.page, 'csrf'),
      emailCookies: await cookiesFor(emailLink.user, '/account/email/confirm'),
      emailCsrf: fieldOf(emailLink.page, 'csrf'),
    }
  }
}

async function openLink(mail: MailServer, user: EndUser, to: string) {
  const link = (await mail.expect(to)).find((one) => one.link !== undefined)?.link ?? ''
  return { user, link, page: await user.open(link) }
}

async function approve(user: EndUser, userCode: string): Promise<void> {
  const confirm = await user.submit(await user.open('/device'), { user_code: userCode })
  const consent = await user.submit(confirm, {}, 'approve')
  if (consent.$('button[value=approve]').length > 0) await user.submit(consent, {}, 'approve')
}

/** Signs in without following the redirect. @returns its target. */
async function answerLogin(
  server: TestServer,
  { user, page }: { user: EndUser; page: Page },
  username: string,
): Promise<string> {
  const answer = await send(page.url, {
    method: 'POST',
    body: new URLSearchParams({ username, password: PASSWORD, csrf: fieldOf(page, 'csrf') }),
    headers: { ...user.headers, cookie: await user.jar.getCookieString(page.url), origin: server.issuer },
  })
  return new URL(answer.headers.get('location') ?? '', server.issuer).pathname
}

function fieldOf(page: Page, name: string): string {
  return String(page.$(`input[name=${name}]`).first().val() ?? '')
}

function lastOf(path: string): string {
  return path.split('/').at(-1) ?? ''
}
