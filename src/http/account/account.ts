/**
 * Room http/account/: the pages on which people manage their own account, one file per page, put together here. The
 * pages share signed-in-user.ts, form-binding.ts (CSRF), mail-link.ts and new-password.ts.
 */

import type { Middleware } from 'koa'
import compose from 'koa-compose'
import type { AccountAccess } from '../../accounts/access.ts'
import type { EmailChange } from '../../accounts/email-change.ts'
import type { MailLinks } from '../../accounts/mail-links.ts'
import type { PasswordHasher, PasswordQueue } from '../../accounts/password.ts'
import type { PasswordReset } from '../../accounts/password-reset.ts'
import type { PasswordRules } from '../../accounts/password-rules.ts'
import type { Registration } from '../../accounts/registration.ts'
import type { Offers } from '../../config/config.ts'
import type { Vault } from '../../crypto/vault.ts'
import type { MailRateLimit } from '../../rate-limiting/mail-rate-limit.ts'
import type { RateLimiter } from '../../rate-limiting/rate-limiter.ts'
import type { Account } from '../../store/account/account.ts'
import type { NewMail } from '../../store/outbox/mail.ts'
import type { Stores } from '../../store/stores.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import type { Views } from '../pages/views.ts'
import { createEmailChangeRoutes } from './email-change.ts'
import { createFormBinding } from './form-binding.ts'
import { createLinkRoutes, createOpenedLinks } from './mail-link.ts'
import { createNewPasswordForm } from './new-password.ts'
import { createOverviewRoutes } from './overview.ts'
import { createPasswordChangeRoutes } from './password-change.ts'
import { createPasswordResetRoutes } from './password-reset.ts'
import { createRegistrationRoutes } from './registration.ts'
import { createAccountSignInRoutes } from './sign-in.ts'
import { createSignedInUsers } from './signed-in-user.ts'

type Needs = {
  issuer: string
  stores: Pick<Stores, 'accounts' | 'events'>
  access: AccountAccess
  signIn: SignInParts
  passwords: {
    queue: PasswordQueue
    hasher: PasswordHasher
    rules: PasswordRules
    /** The mail that reports a changed password; none without an address, or without mail. */
    changeNotice: (account: Account, language: string) => NewMail[]
  }
  selfService: {
    /** A page that is not offered does not exist. */
    offers: Offers
    links: MailLinks
    registration: Registration
    passwordReset: PasswordReset
    emailChange: EmailChange
  }
  limits: { rateLimiter: RateLimiter; mail: MailRateLimit }
  vault: Vault
  views: Views
}

/** Answers `/account` and everything below it. */
export function createAccountPages(needs: Needs): Middleware {
  const { issuer, access, limits, passwords, selfService, signIn, vault, views } = needs
  const { accounts, events } = needs.stores
  const { offers, links, registration, passwordReset, emailChange } = selfService
  const { rateLimiter, mail: mailRateLimit } = limits
  const { changeNotice } = passwords
  const { render } = views
  const users = createSignedInUsers({ accounts, signIn, vault, render })
  const newPassword = createNewPasswordForm({ passwords, rateLimiter, views })
  const formBinding = createFormBinding({ issuer, vault, mailRateLimit, events })
  const openedLinks = createOpenedLinks({ issuer, accounts, links, vault, render })

  const routers = [
    createOverviewRoutes({ accounts, access, users, offers, signIn, render }),
    createAccountSignInRoutes({ issuer, users, offers, signIn, vault, render }),
    createPasswordChangeRoutes({ accounts, users, signIn, newPassword, changeNotice, views }),
    createLinkRoutes({ openedLinks }),
  ]
  if (offers.registration)
    routers.push(createRegistrationRoutes({ registration, formBinding, openedLinks, newPassword, views }))
  if (offers.passwordReset)
    routers.push(
      createPasswordResetRoutes({ passwordReset, formBinding, openedLinks, newPassword, signIn, views }),
    )
  if (offers.emailChange)
    routers.push(createEmailChangeRoutes({ emailChange, formBinding, openedLinks, users, signIn, views }))
  return compose(routers.map((router) => router.routes() as Middleware))
}
