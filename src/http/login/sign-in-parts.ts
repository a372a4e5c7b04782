import type { RememberMe } from '../../accounts/remember-me.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import type { DeviceCookies } from './device-cookie.ts'
import type { CheckLogin } from './login-form.ts'
import type { createRememberCookies } from './remember-me.ts'
import type { SessionNotices } from './session-notice.ts'

/** The parts that the pages for sign-in and sign-out share. */
export type SignInParts = Readonly<{
  checkLogin: CheckLogin
  browserSessions: BrowserSessions
  rememberMe: RememberMe
  rememberCookies: ReturnType<typeof createRememberCookies>
  deviceCookies: DeviceCookies
  sessionNotices: SessionNotices
}>
