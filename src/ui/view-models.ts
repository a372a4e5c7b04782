import type { KoaContextWithOIDC } from 'oidc-provider'

/** What makes a password easy to guess, the largest part of it first. */
export type Weakness = 'common' | 'context' | 'repeated' | 'sequence' | 'date'

/** Why a password may not be chosen: a code, for whoever puts it into words. */
export type PasswordFault =
  | { code: 'too-short'; least: number; length: number }
  | { code: 'too-long'; most: number; length: number }
  | { code: 'unprintable' }
  | { code: Weakness }

/**
 * Why an entry cannot be a user code. `characters`: it holds others than letters from A to Z, digits, spaces and
 * dashes.
 */
export type UserCodeFault = 'characters' | 'letters' | 'length'

/** Whether two requests came from one network. `unknown` when the address families differ: a home may have both. */
export type Nearness = 'near' | 'far' | 'unknown'

/** Every page there is, with what it shows. Templates of these names are in `interactions/`. */
export type Pages = {
  home: { discoveryUrl: string }
  login: {
    csrf: string
    clientName: string | undefined
    username: string
    /** Whether the box "Stay signed in on this browser" is there, and whether it was ticked a moment ago. */
    remember: 'offered' | 'ticked' | undefined
    notice: 'session-ended' | undefined
    error: SignInError | undefined
    /** Where people go on who cannot sign in, as far as that is offered. */
    offers: { reset: string | undefined; register: string | undefined }
  }
  consent: { csrf: string; client: ClientOnPage; accountLabel: string; scopes: ScopeOnPage[] }
  'device-code': {
    xsrf: string
    action: string
    userCode: string
    error: DeviceError | undefined
    /** Why the entry cannot be a user code. */
    fault: UserCodeFault | undefined
    /** The number of letters of a user code. */
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
    /** The query that led here, to show the page again. */
    request: string
    clientName: string | undefined
    accountLabel: string | undefined
  }
  'logout-done': { clientName: string | undefined; signedOut: boolean }
  account: {
    csrf: string
    username: string
    email: string | undefined
    /** What was done a moment ago. */
    done: 'ended' | 'password' | 'email-asked' | undefined
    /** Whether people may change and prove their address. */
    emailChange: boolean
    emailVerified: boolean
    /** Where the person is signed in. */
    browsers: BrowserOnPage[]
    /** Browsers that would sign them in again, without a session now. */
    remembered: BrowserOnPage[]
    /** What they approved by a code: TVs, command lines. */
    devices: DeviceOnPage[]
    /** How many there are; of very many the latest are listed. */
    deviceCount: number
    apps: AppOnPage[]
  }
  /** Proof of who it is before something is changed; the form sends on what was asked for. */
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
    /** The current password was wrong (or could not be checked), or the new one is not good enough. */
    error: SignInError | 'rule' | undefined
    rule: PasswordFault | undefined
  }
  /** "Forgot your password?" */
  reset: { csrf: string; username: string; error: 'invalid' | 'throttled' | undefined; signIn: string }
  /** What a mailed link led to: a new password. */
  'reset-password': {
    csrf: string
    username: string
    error: 'rule' | 'busy' | 'throttled' | undefined
    rule: PasswordFault | undefined
  }
  register: RegistrationOnPage & { email: string; signIn: string }
  /** What a mailed link led to: the account is made. */
  'register-confirm': RegistrationOnPage & {
    email: string
    /** In another browser than the one that registered; the password is chosen here. */
    asksPassword: boolean
  }
  'email-change': {
    csrf: string
    email: string | undefined
    typed: string
    error: 'email' | 'throttled' | undefined
  }
  /**
   * Opened from a mailed link, which proves that the reader receives mail at the address; they must still prove whose
   * account it is for.
   */
  'email-confirm': {
    csrf: string
    email: string
    username: string
    /** The browser is not signed in to the account, so the page asks for the password. */
    asksPassword: boolean
    error: SignInError | undefined
  }
  /** The same for everybody, whether there is an account or not. */
  'mail-asked': { what: 'registration' | 'reset'; signIn: string }
  'link-over': Record<never, never>
  'self-service-done': { what: 'registered' | 'reset' | 'email'; next: string }
  error: {
    status: number
    kind: ErrorKind
    code: string | undefined
    detail: string | undefined
    requestId: string
    /** Starts again what the person was about to do. */
    retryUrl: string | undefined
    /** The home of the app that they came from. */
    app: { name: string; uri: string } | undefined
  }
}

export type RegistrationOnPage = {
  csrf: string
  username: string
  name: string
  /** Fields that are wrong, and how. */
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

/** `failed`: nothing was decided, the code can be entered again. `refused`: the device was told no. */
export type DeviceError = 'not-found' | 'expired' | 'used' | 'missing' | 'throttled' | 'refused' | 'failed'

/** What a person calls the browser or device that sent a user agent, such as Firefox and Linux. */
export type UserAgentOnPage = { program: string | undefined; system: string | undefined }

export type BrowserOnPage = UserAgentOnPage & {
  /** What its form sends as `id`. */
  id: string
  address: string | undefined
  since: Date
  seen: Date
  /** The browser that shows the page. */
  isThis: boolean
  rememberedUntil: Date | undefined
}

export type DeviceOnPage = {
  id: string
  name: string
  since: Date
  usedAt: Date | undefined
  may: MayOnPage[]
  /** The browser that it was approved in, and where that was. */
  approvedIn: UserAgentOnPage
  approvedFrom: string | undefined
}

export type AppOnPage = {
  id: string
  name: string
  host: string | undefined
  since: Date
  may: MayOnPage[]
  /** First-party apps come with the service: they are not asked for, and not taken away. */
  isFirstParty: boolean
}

/** What a client may do. Scopes of ours have messages; those of APIs speak for themselves. */
export type MayOnPage = { scope: string; isOurs: boolean }

export type ScopeOnPage = {
  /** What the form sends when it is ticked. */
  value: string
  scope: string
  required: boolean
  resource: string | undefined
}

/**
 * Renders a page as the response.
 *
 * @param formTargets URLs outside that submitting a form of the page may lead to by redirects: browsers check
 *   `form-action` on those too.
 */
export type RenderPage = <Name extends keyof Pages>(
  ctx: PageContext,
  name: Name,
  values: Pages[Name],
  formTargets?: readonly (string | undefined)[],
) => void

/** Renders an error page in our words; the cause is in the log under the request id. */
export type RenderErrorPage = (
  ctx: PageContext,
  error: { status: number; code: string | undefined; detail: string | undefined },
) => void

/** The part of Koa's context that pages need, whichever room the request is in. */
export type PageContext = Pick<
  KoaContextWithOIDC,
  'state' | 'acceptsLanguages' | 'query' | 'set' | 'vary' | 'status' | 'type' | 'body' | 'response'
> & { oidc?: Pick<KoaContextWithOIDC['oidc'], 'params'> }
