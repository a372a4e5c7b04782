/**
 * Room ui/: templates, messages, languages and the operator's brand. This file has the view model of each page;
 * `templates.ts` compiles templates, `messages.ts` loads languages, `words.ts` formats messages.
 */
import type { KoaContextWithOIDC } from 'oidc-provider'

/** The main reason why a password is easy to guess. */
export type Weakness = 'common' | 'context' | 'repeated' | 'sequence' | 'date'

/** Why a password is rejected, for a message to the person or the operator. */
export type PasswordFault =
  | { code: 'too-short'; least: number; length: number }
  | { code: 'too-long'; most: number; length: number }
  | { code: 'unprintable' }
  | { code: Weakness }

/** Why an entry cannot be a user code. `characters`: it has others than A to Z, digits, spaces and dashes. */
export type UserCodeFault = 'characters' | 'letters' | 'length'

/** Whether two requests came from one network; unknown for IPv4 beside IPv6, since a home may have both. */
export type Nearness = 'near' | 'far' | 'unknown'

/** The view model of each page. Its template in `interactions/` has the same name. */
export type Pages = {
  home: { discoveryUrl: string }
  login: {
    csrf: string
    clientName: string | undefined
    username: string
    /** The box "Stay signed in on this browser"; `ticked` when the form is shown again; undefined without the box. */
    remember: 'offered' | 'ticked' | undefined
    notice: 'session-ended' | undefined
    error: SignInError | undefined
    /** Links to self-service; undefined for a feature that is off. */
    offers: { reset: string | undefined; register: string | undefined }
  }
  consent: { csrf: string; client: ClientOnPage; accountLabel: string; scopes: ScopeOnPage[] }
  'device-code': {
    xsrf: string
    action: string
    userCode: string
    error: DeviceError | undefined
    fault: UserCodeFault | undefined
    letters: number
    /** After too many wrong codes. */
    waitMinutes: number | undefined
  }
  'device-confirm': {
    xsrf: string
    action: string
    userCode: string
    client: ClientOnPage
    device: UserAgentOnPage & {
      address: string
      /** Whether the device's request came from this browser's network. */
      nearness: Nearness
      askedAt: Date
    }
  }
  'device-done': { clientName: string | undefined }
  'device-denied': { by: 'person' | 'server' }
  logout: {
    xsrf: string
    action: string
    /** The query of this page, to show it again. */
    request: string
    clientName: string | undefined
    accountLabel: string | undefined
  }
  'logout-done': { clientName: string | undefined; signedOut: boolean }
  account: {
    csrf: string
    username: string
    email: string | undefined
    done: 'ended' | 'password' | 'email-asked' | undefined
    emailChange: boolean
    emailVerified: boolean
    browsers: BrowserOnPage[]
    remembered: BrowserOnPage[]
    devices: DeviceOnPage[]
    /** The number of all devices; only the latest are listed. */
    deviceCount: number
    apps: AppOnPage[]
  }
  /** Asks for the password before a change. The form repeats the fields of the requested change. */
  'account-confirm': {
    csrf: string
    username: string
    action: string
    fields: { name: string; value: string }[]
    error: SignInError | undefined
  }
  'account-password': {
    csrf: string
    username: string
    error: SignInError | 'rule' | undefined
    rule: PasswordFault | undefined
  }
  reset: { csrf: string; username: string; error: 'invalid' | 'throttled' | undefined; signIn: string }
  /** Opened from a mailed link: chooses a new password. */
  'reset-password': {
    csrf: string
    username: string
    error: 'rule' | 'busy' | 'throttled' | undefined
    rule: PasswordFault | undefined
  }
  register: RegistrationOnPage & { email: string; signIn: string }
  /** Opened from a mailed link: creates the account. */
  'register-confirm': RegistrationOnPage & {
    email: string
    /** Whether this is another browser than the one that registered; then the password is chosen here. */
    asksPassword: boolean
  }
  'email-change': {
    csrf: string
    email: string | undefined
    typed: string
    error: 'email' | 'throttled' | undefined
  }
  /** Opened from a mailed link, which verifies the address. The person must also prove that the account is theirs. */
  'email-confirm': {
    csrf: string
    email: string
    username: string
    /** Whether the browser is not signed in to the account. */
    asksPassword: boolean
    error: SignInError | undefined
  }
  /** The same page whether or not an account exists. */
  'mail-asked': { what: 'registration' | 'reset'; signIn: string }
  'link-over': Record<never, never>
  'self-service-done': { what: 'registered' | 'reset' | 'email'; next: string }
  error: {
    status: number
    kind: ErrorKind
    code: string | undefined
    detail: string | undefined
    requestId: string
    retryUrl: string | undefined
    app: { name: string; uri: string } | undefined
  }
}

export type RegistrationOnPage = {
  csrf: string
  username: string
  name: string
  errors: {
    email?: 'email'
    username?: 'username' | 'taken'
    name?: 'name'
    password?: PasswordFault
    form?: 'throttled' | 'busy'
  }
}

export type ClientOnPage = {
  name: string
  host: string | undefined
  uri: string | undefined
  policyUri: string | undefined
  tosUri: string | undefined
}

export type ErrorKind =
  | 'refused'
  | 'broken'
  | 'unavailable'
  | 'form-refused'
  | 'not-found'
  | 'too-slow'
  | 'too-large'
  | 'url-too-long'
  | 'headers-too-long'
  | 'too-many'
  | 'unknown-client'
  | 'foreign-address'
  | 'expired'

export type SignInError = 'rejected' | 'busy' | 'throttled' | 'invalid' | 'full'

/** `failed`: no decision was stored, and the code can be entered again. `refused`: the device was denied. */
export type DeviceError = 'not-found' | 'expired' | 'used' | 'missing' | 'throttled' | 'refused' | 'failed'

/** Browser and operating system of a user agent, such as Firefox and Linux. */
export type UserAgentOnPage = { program: string | undefined; system: string | undefined }

export type BrowserOnPage = UserAgentOnPage & {
  id: string
  address: string | undefined
  since: Date
  seen: Date
  isThis: boolean
  rememberedUntil: Date | undefined
}

/** A device or an app with access to an account. */
type ConnectionOnPage = { id: string; name: string; since: Date; may: MayOnPage[] }

type DeviceOnPage = ConnectionOnPage & {
  usedAt: Date | undefined
  /** The browser that approved it, and its address. */
  approvedIn: UserAgentOnPage
  approvedFrom: string | undefined
}

export type AppOnPage = ConnectionOnPage & {
  host: string | undefined
  /** First-party apps need no consent, and cannot be revoked here. */
  isFirstParty: boolean
}

/** A granted scope. Our own scopes have messages; those of APIs are shown as they are. */
export type MayOnPage = { scope: string; isOurs: boolean }

export type ScopeOnPage = {
  value: string
  scope: string
  required: boolean
  resource: string | undefined
}

/**
 * Renders a page as the response.
 *
 * @param formTargets external URLs that a form of the page may redirect to, because browsers apply `form-action` to
 *   redirects.
 */
export type RenderPage = <Name extends keyof Pages>(
  ctx: PageContext,
  name: Name,
  values: Pages[Name],
  formTargets?: readonly (string | undefined)[],
) => void

/** Renders an error page. The log has the cause under the same request id. */
export type RenderErrorPage = (
  ctx: PageContext,
  error: { status: number; code: string | undefined; detail: string | undefined },
) => void

export type PageContext = Pick<
  KoaContextWithOIDC,
  'state' | 'acceptsLanguages' | 'query' | 'set' | 'vary' | 'status' | 'type' | 'body' | 'response'
> & { oidc?: Pick<KoaContextWithOIDC['oidc'], 'params'> }
