import type {
  AppOnPage,
  BrowserOnPage,
  ClientOnPage,
  MayOnPage,
  Pages,
  ScopeOnPage,
} from '../../src/ui/view-models.ts'
import type { Sample } from './page-server.ts'

export const SCRIPT = '<script>document.title = "harmed"</script><img src=x onerror=alert(1)>'
export const LONG_NAME = `Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft ${'x'.repeat(90)}`
export const RIGHT_TO_LEFT = 'לוח הנמל (3) – ראשי'
export const LONG_AGENT = 'Mozilla/5.0(compatible;HarbourBrowser/12.4;+https://harbour.ex'

const LONG_HOST = `${'very-long-label-of-a-host.'.repeat(4)}example`

const at = (month: number, day: number) => new Date(Date.UTC(2026, month - 1, day, 9, 12, 34))

const ours = (scope: string): MayOnPage => ({ scope, isOurs: true })
const theirs = (scope: string): MayOnPage => ({ scope, isOurs: false })

const FIREFOX: BrowserOnPage = {
  id: 'this',
  program: 'Firefox',
  system: 'Linux',
  address: '203.0.113.24',
  since: at(11, 3),
  seen: at(11, 24),
  isThis: true,
  rememberedUntil: undefined,
}
const HARBOUR: AppOnPage = {
  id: 'harbour',
  name: 'Harbour Dashboard',
  host: 'harbour.example',
  since: at(11, 3),
  may: ['openid', 'email', 'offline_access'].map(ours),
  isFirstParty: false,
}
const ACCOUNT: Pages['account'] = {
  csrf: 'token',
  username: 'ada',
  email: 'ada@example.test',
  emailChange: true,
  emailVerified: false,
  done: undefined,
  browsers: [FIREFOX],
  remembered: [],
  devices: [],
  deviceCount: 0,
  apps: [],
}
const RICH: Pages['account'] = {
  ...ACCOUNT,
  username: `ada.${'lovelace-'.repeat(12)}`,
  email: `ada@${'very-long-label-of-a-host.'.repeat(4)}example`,
  done: 'ended',
  browsers: [
    { ...FIREFOX, rememberedUntil: at(12, 24) },
    {
      ...FIREFOX,
      id: 'long',
      program: LONG_AGENT,
      system: 'Windows',
      address: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
      isThis: false,
    },
    { ...FIREFOX, id: 'script', program: SCRIPT, system: undefined, address: undefined, isThis: false },
  ],
  remembered: [
    { ...FIREFOX, id: 'phone', program: 'Safari', system: 'iOS', isThis: false, rememberedUntil: at(12, 12) },
    {
      ...FIREFOX,
      id: 'rtl',
      program: RIGHT_TO_LEFT,
      system: undefined,
      isThis: false,
      rememberedUntil: at(12, 13),
    },
  ],
  devices: [
    {
      id: 'tv',
      name: 'Harbour TV',
      since: at(11, 5),
      usedAt: at(11, 24),
      may: [ours('openid')],
      approvedIn: { program: 'Firefox', system: 'Linux' },
      approvedFrom: '203.0.113.9',
    },
    {
      id: 'shell',
      name: LONG_NAME,
      since: at(9, 5),
      usedAt: undefined,
      may: [],
      approvedIn: { program: LONG_AGENT, system: undefined },
      approvedFrom: undefined,
    },
  ],
  deviceCount: 51,
  apps: [
    HARBOUR,
    {
      ...HARBOUR,
      id: 'rtl',
      name: RIGHT_TO_LEFT,
      host: 'נמל.example',
      may: ['קריאה', 'ships:read'].map(theirs),
    },
    {
      ...HARBOUR,
      id: 'many',
      name: LONG_NAME,
      host: LONG_HOST,
      may: [
        ...HARBOUR.may,
        ...Array.from({ length: 24 }, (_, index) => theirs(`harbour.berths.${index}:manage`)),
        theirs(SCRIPT),
      ],
    },
    { ...HARBOUR, id: 'script', name: SCRIPT, host: undefined, may: [] },
    { ...HARBOUR, id: 'house', name: 'House App', isFirstParty: true },
  ],
}
export const CONFIRM: Pages['account-confirm'] = {
  csrf: 'token',
  username: 'ada',
  action: '/account/end',
  fields: [
    { name: 'what', value: 'browser' },
    { name: 'id', value: `"><b>${SCRIPT}` },
  ],
  error: undefined,
}
const PASSWORD: Pages['account-password'] = {
  csrf: 'token',
  username: 'ada',
  error: undefined,
  rule: undefined,
}
const LOGIN: Pages['login'] = {
  csrf: 'token',
  clientName: undefined,
  username: '',
  offers: { reset: '/account/reset', register: '/account/register' },
  remember: 'offered',
  notice: undefined,
  error: undefined,
}
const ERROR: Pages['error'] = {
  status: 400,
  kind: 'expired',
  code: 'session_not_found',
  detail: undefined,
  requestId: '0192f0c1-7a1b-7c3d-9e4f-5a6b7c8d9e0f',
  retryUrl: undefined,
  app: undefined,
}
const RULE = { code: 'too-short', least: 15, length: 8 } as const

const CLIENT: ClientOnPage = {
  name: 'Harbour Dashboard',
  host: 'harbour.example',
  uri: 'https://harbour.example/',
  policyUri: 'https://harbour.example/privacy',
  tosUri: 'https://harbour.example/terms',
}
const WORDY: ClientOnPage = { ...CLIENT, name: LONG_NAME, host: LONG_HOST, uri: `https://${LONG_HOST}/` }
const scope = (value: string, resource?: string): ScopeOnPage => ({
  value,
  scope: value,
  required: value === 'openid',
  resource,
})
const CONSENT: Pages['consent'] = {
  csrf: 'token',
  client: CLIENT,
  accountLabel: 'ada',
  scopes: [
    ...['openid', 'profile', 'email', 'offline_access'].map((value) => scope(value)),
    scope('ships:read', 'https://api.harbour.example/'),
  ],
}
const DEVICE_CODE: Pages['device-code'] = {
  xsrf: 'token',
  action: '/device',
  userCode: '',
  error: undefined,
  fault: undefined,
  letters: 8,
  waitMinutes: undefined,
}
const DEVICE: Pages['device-confirm'] = {
  xsrf: 'token',
  action: '/device',
  userCode: 'BCDF-GHJK',
  client: CLIENT,
  device: {
    program: 'Chrome',
    system: 'Tizen',
    address: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
    nearness: 'far',
    askedAt: at(11, 24),
  },
}
const REGISTRATION = { csrf: 'token', username: 'ada', name: 'Ada Lovelace' }
const LOGOUT: Pages['logout'] = {
  xsrf: 'token',
  action: '/logout/confirm',
  request: '',
  clientName: 'Harbour Dashboard',
  accountLabel: 'ada',
}

/** Pages with typical and with hostile values. Each is checked separately. */
export const SAMPLES: Record<string, Sample> = {
  'sample-account': { name: 'account', values: RICH },
  'sample-account-empty': { name: 'account', values: { ...ACCOUNT, browsers: [], email: undefined } },
  'sample-account-password-done': { name: 'account', values: { ...ACCOUNT, done: 'password' } },
  'sample-confirm': { name: 'account-confirm', values: { ...CONFIRM, username: RIGHT_TO_LEFT } },
  'sample-confirm-long': {
    name: 'account-confirm',
    values: { ...CONFIRM, username: LONG_NAME, error: 'rejected' },
  },
  'sample-confirm-busy': { name: 'account-confirm', values: { ...CONFIRM, error: 'busy' } },
  'sample-confirm-invalid': { name: 'account-confirm', values: { ...CONFIRM, error: 'invalid' } },
  'sample-password': { name: 'account-password', values: { ...PASSWORD, username: SCRIPT } },
  'sample-password-rejected': { name: 'account-password', values: { ...PASSWORD, error: 'rejected' } },
  'sample-password-busy': { name: 'account-password', values: { ...PASSWORD, error: 'busy' } },
  'sample-password-rule': { name: 'account-password', values: { ...PASSWORD, error: 'rule', rule: RULE } },
  'sample-login-ended': {
    name: 'login',
    values: { ...LOGIN, notice: 'session-ended', clientName: LONG_NAME },
  },
  'sample-login-again': {
    name: 'login',
    values: { ...LOGIN, notice: 'session-ended', remember: 'ticked', username: RIGHT_TO_LEFT, error: 'full' },
  },
  'sample-error-retry': { name: 'error', values: { ...ERROR, retryUrl: '/authorize?client_id=harbour' } },
  'sample-error-app': {
    name: 'error',
    values: { ...ERROR, app: { name: LONG_NAME, uri: 'https://harbour.example/' } },
  },
  'sample-error-app-hostile': {
    name: 'error',
    values: { ...ERROR, detail: SCRIPT, app: { name: SCRIPT, uri: 'javascript:alert(1)//https://' } },
  },
  'sample-login': { name: 'login', values: { ...LOGIN, clientName: 'Harbour Dashboard' } },
  'sample-login-rejected': { name: 'login', values: { ...LOGIN, username: 'ada', error: 'rejected' } },
  'sample-login-missing': { name: 'login', values: { ...LOGIN, error: 'invalid' } },
  'sample-consent': { name: 'consent', values: CONSENT },
  'sample-consent-wordy': {
    name: 'consent',
    values: {
      ...CONSENT,
      client: WORDY,
      accountLabel: RIGHT_TO_LEFT,
      scopes: [...CONSENT.scopes, scope(LONG_NAME, `https://${LONG_HOST}/`), scope(SCRIPT)],
    },
  },
  'sample-device-code': { name: 'device-code', values: DEVICE_CODE },
  'sample-device-code-odd': {
    name: 'device-code',
    values: { ...DEVICE_CODE, userCode: 'B0DF-GHJK', error: 'not-found', fault: 'letters' },
  },
  'sample-device-code-wait': {
    name: 'device-code',
    values: { ...DEVICE_CODE, error: 'throttled', waitMinutes: 12 },
  },
  'sample-device-confirm': { name: 'device-confirm', values: DEVICE },
  'sample-device-confirm-wordy': {
    name: 'device-confirm',
    values: { ...DEVICE, client: WORDY, device: { ...DEVICE.device, program: LONG_AGENT, nearness: 'near' } },
  },
  'sample-device-done': { name: 'device-done', values: { clientName: LONG_NAME } },
  'sample-device-denied': { name: 'device-denied', values: { by: 'person' } },
  'sample-logout': { name: 'logout', values: LOGOUT },
  'sample-logout-wordy': {
    name: 'logout',
    values: { ...LOGOUT, clientName: LONG_NAME, accountLabel: RIGHT_TO_LEFT },
  },
  'sample-logout-done': { name: 'logout-done', values: { clientName: 'Harbour TV', signedOut: true } },
  'sample-logout-stayed': { name: 'logout-done', values: { clientName: LONG_NAME, signedOut: false } },
  'sample-error-many': {
    name: 'error',
    values: { ...ERROR, status: 429, kind: 'too-many', code: 'temporarily_unavailable' },
  },
  'sample-reset': {
    name: 'reset',
    values: { csrf: 'token', username: '', error: 'throttled', signIn: '/account' },
  },
  'sample-reset-password': {
    name: 'reset-password',
    values: { csrf: 'token', username: LONG_NAME, error: 'rule', rule: { code: 'common' } },
  },
  'sample-register': {
    name: 'register',
    values: {
      ...REGISTRATION,
      email: 'ada@example',
      errors: { email: 'email', username: 'username', name: 'name', password: { code: 'context' } },
      signIn: '/account/sign-in',
    },
  },
  'sample-register-confirm': {
    name: 'register-confirm',
    values: { ...REGISTRATION, email: `ada@${LONG_HOST}`, asksPassword: true, errors: { username: 'taken' } },
  },
  'sample-email-change': {
    name: 'email-change',
    values: { csrf: 'token', email: `ada@${LONG_HOST}`, typed: 'ada@example', error: 'email' },
  },
  'sample-email-confirm': {
    name: 'email-confirm',
    values: {
      csrf: 'token',
      email: `ada@${LONG_HOST}`,
      username: RIGHT_TO_LEFT,
      asksPassword: false,
      error: undefined,
    },
  },
  'sample-email-confirm-password': {
    name: 'email-confirm',
    values: {
      csrf: 'token',
      email: 'ada@example.test',
      username: 'ada',
      asksPassword: true,
      error: 'rejected',
    },
  },
  'sample-mail-asked': { name: 'mail-asked', values: { what: 'registration', signIn: '/account/sign-in' } },
  'sample-link-over': { name: 'link-over', values: {} },
  'sample-self-service-done': { name: 'self-service-done', values: { what: 'registered', next: '/account' } },
  'sample-home': { name: 'home', values: { discoveryUrl: '/.well-known/openid-configuration' } },
}
