import type { Middleware } from 'koa'
import compose from 'koa-compose'
import { createEmailChange } from '../../accounts/email-change.ts'
import type { MailLinks } from '../../accounts/mail-links.ts'
import { createPasswordReset } from '../../accounts/password-reset.ts'
import { createRegistration } from '../../accounts/registration.ts'
import type { EventStore } from '../../audit/event.ts'
import type { Offers } from '../../config/config.ts'
import type { Vault } from '../../crypto/vault.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import type { MailRateLimit } from '../../rate-limiting/mail-rate-limit.ts'
import type { SignInRateLimit } from '../../rate-limiting/sign-in-rate-limit.ts'
import type { AccountStore } from '../../store/account/account.ts'
import type { SelfServiceStore } from '../../store/account/self-service.ts'
import type { Clock } from '../../time.ts'
import type { DeviceCookies } from '../login/device-cookie.ts'
import type { AnswerLogin } from '../login/login-form.ts'
import { createRememberCookies } from '../login/remember-me.ts'
import type { Views } from '../pages/views.ts'
import { createEmailChangeRoutes } from './email-change.ts'
import { createAsking } from './form-binding.ts'
import { createLinkRoutes, createOpenedLinks } from './mail-link.ts'
import type { AdmitNewPassword } from './new-password.ts'
import type { AdviseOnPassword } from './password-advice.ts'
import { createPasswordResetRoutes } from './password-reset.ts'
import { createRegistrationRoutes } from './registration.ts'
import type { Visitors } from './signed-in-user.ts'

type Needs = {
  issuer: string
  offers: Offers
  links: MailLinks
  mailRateLimit: MailRateLimit
  signInRateLimit: SignInRateLimit
  accounts: AccountStore
  selfService: SelfServiceStore
  admitNewPassword: AdmitNewPassword
  advisePassword: AdviseOnPassword
  browserSessions: BrowserSessions
  deviceCookies: DeviceCookies
  visitors: Visitors
  checkLogin: AnswerLogin
  events: EventStore
  vault: Vault
  views: Views
  now: Clock
}

/** What people do by themselves, as far as it is offered: what is not has no page. */
export function createSelfServiceRoutes(needs: Needs): Middleware {
  const { issuer, offers, views } = needs
  const openedLinks = createOpenedLinks({ ...needs, render: views.render })
  const remembering = createRememberCookies(issuer)
  const pages = { ...needs, asking: createAsking(needs), openedLinks, remembering }
  const passwordReset = createPasswordReset({ ...needs, limits: needs.signInRateLimit })
  return compose(
    [
      createLinkRoutes(pages),
      offers.registration && createRegistrationRoutes({ ...pages, registration: createRegistration(needs) }),
      offers.passwordReset && createPasswordResetRoutes({ ...pages, passwordReset }),
      offers.emailChange && createEmailChangeRoutes({ ...pages, emailChange: createEmailChange(needs) }),
    ].flatMap((router) => (router ? [router.routes() as Middleware] : [])),
  )
}
