import type { Ingredient } from './fixtures.ts'

/** A valid request of an endpoint. `{name}` is a placeholder for an ingredient of that name. */
export type Endpoint = Readonly<{
  method: 'GET' | 'POST'
  path: string
  query?: Readonly<Record<string, string>>
  form?: Readonly<Record<string, string>>
  /** The browser that sends the request. */
  cookies?: Ingredient
  authorization?: string
}>

const REQUEST = {
  client_id: '{clientId}',
  redirect_uri: '{redirectUri}',
  response_type: 'code',
  scope: 'openid profile offline_access',
  state: 'state',
  nonce: 'nonce',
  code_challenge: '{codeChallenge}',
  code_challenge_method: 'S256',
  prompt: 'consent',
  claims: '{"id_token":{"acr":{"values":["urn:sallyport:acr:password"]}}}',
  acr_values: 'urn:sallyport:acr:password',
  ui_locales: 'fr en',
  login_hint: 'ada',
  max_age: '300',
}
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const CLIENT = '{clientBasic}'

/** All endpoints and pages of the public listener: a new one needs a line here. */
export const ENDPOINTS: readonly Endpoint[] = [
  { method: 'GET', path: '/', cookies: 'session' },
  { method: 'GET', path: '/assets/style.css' },
  { method: 'GET', path: '/.well-known/openid-configuration' },
  { method: 'GET', path: '/.well-known/oauth-authorization-server' },
  { method: 'GET', path: '/jwks' },

  { method: 'GET', path: '/authorize', query: REQUEST, cookies: 'session' },
  { method: 'GET', path: '/authorize', query: { ...REQUEST, prompt: 'none' }, cookies: 'session' },
  { method: 'GET', path: '/authorize', query: { ...REQUEST, response_mode: 'form_post' } },
  { method: 'GET', path: '/authorize', query: { client_id: '{clientId}', request_uri: '{requestUri}' } },
  { method: 'POST', path: '/authorize', form: REQUEST },
  { method: 'GET', path: '/authorize/{resumeUid}', cookies: 'resumeCookies' },

  { method: 'GET', path: '/interaction/{loginUid}', cookies: 'loginCookies' },
  {
    method: 'POST',
    path: '/interaction/{loginUid}',
    cookies: 'loginCookies',
    form: { csrf: '{loginCsrf}', username: '{username}', password: '{password}', remember: 'on' },
  },
  { method: 'GET', path: '/interaction/{consentUid}', cookies: 'consentCookies' },
  {
    method: 'POST',
    path: '/interaction/{consentUid}',
    cookies: 'consentCookies',
    form: { csrf: '{consentCsrf}', scope: 'profile', action: 'approve' },
  },

  {
    method: 'POST',
    path: '/token',
    authorization: CLIENT,
    form: {
      grant_type: 'authorization_code',
      code: '{code}',
      redirect_uri: '{redirectUri}',
      code_verifier: '{codeVerifier}',
    },
  },
  {
    method: 'POST',
    path: '/token',
    authorization: CLIENT,
    form: { grant_type: 'refresh_token', refresh_token: '{refreshToken}', scope: 'openid' },
  },
  {
    method: 'POST',
    path: '/token',
    form: {
      grant_type: 'client_credentials',
      client_id: '{serviceId}',
      client_secret: '{serviceSecret}',
    },
  },
  {
    method: 'POST',
    path: '/token',
    form: {
      grant_type: 'client_credentials',
      client_id: '{keyedId}',
      client_assertion_type: ASSERTION,
      client_assertion: '{clientAssertion}',
    },
  },
  {
    method: 'POST',
    path: '/token',
    form: { grant_type: DEVICE_GRANT, device_code: '{approvedDeviceCode}', client_id: '{deviceId}' },
  },
  { method: 'GET', path: '/userinfo', authorization: 'Bearer {accessToken}' },
  { method: 'POST', path: '/userinfo', form: { access_token: '{accessToken}' } },
  {
    method: 'POST',
    path: '/introspect',
    authorization: CLIENT,
    form: { token: '{accessToken}', token_type_hint: 'access_token' },
  },
  {
    method: 'POST',
    path: '/revoke',
    authorization: CLIENT,
    form: { token: '{refreshToken}', token_type_hint: 'refresh_token' },
  },
  { method: 'POST', path: '/par', authorization: CLIENT, form: REQUEST },

  {
    method: 'POST',
    path: '/device/authorize',
    form: { client_id: '{deviceId}', scope: 'openid', claims: '{"id_token":{"sub":{"value":"x"}}}' },
  },
  { method: 'GET', path: '/device', query: { user_code: '{userCode}' }, cookies: 'session' },
  {
    method: 'POST',
    path: '/device',
    cookies: 'deviceCookies',
    form: { xsrf: '{deviceXsrf}', user_code: '{userCode}' },
  },
  {
    method: 'POST',
    path: '/device',
    cookies: 'deviceCookies',
    form: { xsrf: '{deviceXsrf}', user_code: '{userCode}', action: 'approve' },
  },
  { method: 'GET', path: '/device/{deviceResumeUid}', cookies: 'deviceResumeCookies' },

  {
    method: 'GET',
    path: '/logout',
    cookies: 'session',
    query: {
      id_token_hint: '{idToken}',
      client_id: '{clientId}',
      post_logout_redirect_uri: '{postLogoutRedirectUri}',
      state: 'state',
      logout_hint: 'ada',
      ui_locales: 'de',
    },
  },
  { method: 'POST', path: '/logout', cookies: 'session', form: { id_token_hint: '{idToken}' } },
  {
    method: 'POST',
    path: '/logout/confirm',
    cookies: 'logoutCookies',
    form: { xsrf: '{logoutXsrf}', action: 'approve', request: 'state=x' },
  },
  { method: 'GET', path: '/logout/success', query: { client_id: '{clientId}' } },

  { method: 'GET', path: '/account/email/confirm', cookies: 'emailCookies' },
  {
    method: 'POST',
    path: '/account/email/confirm',
    cookies: 'emailCookies',
    form: { csrf: '{emailCsrf}', password: '{password}' },
  },
  { method: 'GET', path: '/account', cookies: 'session', query: { done: 'ended' } },
  { method: 'GET', path: '/account/sign-in', cookies: 'signInCookies' },
  {
    method: 'POST',
    path: '/account/sign-in',
    cookies: 'signInCookies',
    form: { csrf: '{signInCsrf}', username: '{username}', password: '{password}', remember: 'on' },
  },
  {
    method: 'POST',
    path: '/account/end',
    cookies: 'session',
    form: { csrf: '{accountCsrf}', what: 'browser', id: '{browserId}' },
  },
  {
    method: 'POST',
    path: '/account/end',
    cookies: 'session',
    form: { csrf: '{accountCsrf}', what: 'app', id: '{clientId}', password: '{password}' },
  },
  {
    method: 'POST',
    path: '/account/sign-out-everywhere',
    cookies: 'session',
    form: { csrf: '{accountCsrf}', password: '{password}' },
  },
  { method: 'GET', path: '/account/password', cookies: 'session' },
  {
    method: 'POST',
    path: '/account/password',
    cookies: 'session',
    form: { csrf: '{accountCsrf}', password: '{password}', new_password: '{password}' },
  },
  {
    method: 'POST',
    path: '/account/password/advice',
    cookies: 'session',
    form: { csrf: '{accountCsrf}', new_password: 'correct horse' },
  },

  { method: 'GET', path: '/account/register', query: { interaction: '{loginUid}' } },
  {
    method: 'POST',
    path: '/account/register/advice',
    cookies: 'askingCookies',
    form: { csrf: '{askingCsrf}', username: 'ada', email: '{email}', name: 'Ada', new_password: 'x' },
  },
  { method: 'GET', path: '/account/register/asked', query: { interaction: '{loginUid}' } },
  { method: 'GET', path: '{registerLink}' },
  { method: 'GET', path: '/account/register/confirm', cookies: 'registerCookies' },
  {
    method: 'POST',
    path: '/account/register/confirm',
    cookies: 'registerCookies',
    form: { csrf: '{registerCsrf}', username: '{newUsername}', name: 'Ada', new_password: '{password}' },
  },
  {
    method: 'POST',
    path: '/account/register',
    cookies: 'askingCookies',
    form: {
      csrf: '{askingCsrf}',
      email: '{newEmail}',
      username: '{newUsername}',
      name: 'Ada',
      new_password: '{password}',
    },
  },
  { method: 'GET', path: '/account/register/done', query: { interaction: '{loginUid}' } },

  { method: 'GET', path: '/account/reset', query: { interaction: '{loginUid}' } },
  { method: 'GET', path: '{resetLink}' },
  { method: 'GET', path: '/account/reset/password', cookies: 'resetCookies' },
  {
    method: 'POST',
    path: '/account/reset/password',
    cookies: 'resetCookies',
    form: { csrf: '{resetCsrf}', new_password: 'another horse altogether' },
  },
  {
    method: 'POST',
    path: '/account/reset',
    cookies: 'askingCookies',
    form: { csrf: '{askingCsrf}', username: '{username}' },
  },
  { method: 'GET', path: '/account/reset/done' },

  { method: 'GET', path: '/account/email', cookies: 'session' },
  {
    method: 'POST',
    path: '/account/email',
    cookies: 'session',
    form: { csrf: '{accountCsrf}', email: '{newEmail}', password: '{password}' },
  },
  {
    method: 'POST',
    path: '/account/email/verification',
    cookies: 'session',
    form: { csrf: '{accountCsrf}' },
  },
  { method: 'GET', path: '/account/email/done' },
  { method: 'GET', path: '/nowhere' },
]
