import Router from '@koa/router'
import type { Context } from 'koa'
import type { PasswordReset, ResetRecipient } from '../../accounts/password-reset.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { MailShare } from '../../rate-limiting/mail-rate-limit.ts'
import { type DeviceCookieEntry, deviceOf } from '../../rate-limiting/sign-in-rate-limit.ts'
import type { Account } from '../../store/account/account.ts'
import type { Pages } from '../../ui/view-models.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import { interactionOf, signInPath, withInteraction } from '../login/sign-in-path.ts'
import { seeOther, type Views } from '../pages/views.ts'
import type { FormBinding } from './form-binding.ts'
import { keyOf, type OpenedLinks } from './mail-link.ts'
import { answerRefused, isRefused, type NewPasswordForm } from './new-password.ts'

const MAX_LOGIN_CHARACTERS = 256
const RESET = '/account/reset'

type Needs = {
  passwordReset: PasswordReset
  formBinding: FormBinding
  openedLinks: OpenedLinks
  newPassword: NewPasswordForm
  signIn: Pick<SignInParts, 'browserSessions' | 'deviceCookies' | 'rememberCookies'>
  views: Pick<Views, 'render' | 'words'>
}

/** Requests a password reset by mail; the mailed link opens `/account/reset/password`. */
export function createPasswordResetRoutes(needs: Needs): Router {
  const { passwordReset, formBinding, openedLinks, newPassword, signIn, views } = needs
  const { browserSessions, deviceCookies, rememberCookies } = signIn
  const router = new Router({ prefix: RESET })
  const find = (ctx: Context) => openedLinks.findWithAccount(ctx, 'reset')
  const aboutOf = (ctx: Context) => ({ language: views.words(ctx).lang, origin: originOf(ctx) })

  router.get('/', (ctx) => showRequestForm(ctx, { username: '', error: undefined }))

  router.post('/', async (ctx) => {
    formBinding.verify(ctx)
    const username = (formOf(ctx).get('username') ?? '').trim()
    if (username === '' || username.length > MAX_LOGIN_CHARACTERS) {
      ctx.status = 400
      return showRequestForm(ctx, { username: username.slice(0, MAX_LOGIN_CHARACTERS), error: 'invalid' })
    }
    const device = deviceCookies.find(ctx)
    if (device.length === 0 && formBinding.isRefused(ctx))
      return showRequestForm(ctx, { username, error: 'throttled' })
    const recipient = await passwordReset.find(username)
    const counted = await formBinding.count(ctx, {
      purpose: 'reset',
      to: recipient.to,
      share: shareOf(recipient, device),
    })
    if (counted === 'refused') return showRequestForm(ctx, { username, error: 'throttled' })
    await passwordReset.request(recipient, formBinding.requesterOf(ctx), {
      ...aboutOf(ctx),
      isDropped: counted === 'dropped',
    })
    seeOther(ctx, withInteraction(`${RESET}/asked`, interactionOf(ctx)))
  })

  router.get('/asked', (ctx) =>
    views.render(ctx, 'mail-asked', { what: 'reset', signIn: signInPath(interactionOf(ctx)) }),
  )

  router.get('/password', async (ctx) => {
    const found = await find(ctx)
    if (found) showPassword(ctx, found.account, { error: undefined, rule: undefined })
  })

  router.post('/password', async (ctx) => {
    const found = await find(ctx)
    if (!found) return
    const { link, account } = found
    const { requester } = link.request
    const hash = await newPassword.admit(ctx, keyOf(link))
    const passwordHash = isRefused(hash) ? hash : await hash(account)
    if (isRefused(passwordHash)) return showPassword(ctx, account, answerRefused(ctx, passwordHash))
    const session = await browserSessions.find(ctx)
    const renewed = await passwordReset.confirm(link, account, passwordHash, aboutOf(ctx))
    if (!renewed) return openedLinks.showInvalidLink(ctx)
    openedLinks.close(ctx)
    // The reset also revoked the session of this browser.
    if (session?.accountId === account.sub) {
      browserSessions.forget(ctx)
      rememberCookies.clear(ctx)
    }
    // Exempts this browser from a lock-out that an attacker causes.
    deviceCookies.issue(ctx, renewed)
    const interaction = formBinding.isSameBrowser(ctx, requester) ? requester.interaction : undefined
    seeOther(ctx, withInteraction(`${RESET}/done`, interaction))
  })

  router.post('/password/advice', async (ctx) => {
    const found = await find(ctx)
    if (found) await newPassword.advise(ctx, found.account)
  })

  router.get('/done', (ctx) =>
    views.render(ctx, 'self-service-done', { what: 'reset', next: signInPath(interactionOf(ctx)) }),
  )

  return router

  function showRequestForm(ctx: Context, shown: Pick<Pages['reset'], 'username' | 'error'>): void {
    views.render(ctx, 'reset', {
      csrf: formBinding.open(ctx),
      signIn: signInPath(interactionOf(ctx)),
      ...shown,
    })
  }

  function showPassword(
    ctx: Context,
    { username }: Account,
    shown: Pick<Pages['reset-password'], 'error' | 'rule'>,
  ): void {
    views.render(ctx, 'reset-password', { csrf: openedLinks.csrfTokenFor(ctx), username, ...shown })
  }
}

function shareOf({ account }: ResetRecipient, entries: readonly DeviceCookieEntry[]): MailShare {
  if (!account) return { of: 'anybody' }
  return deviceOf(account, entries) ? { of: 'device' } : { of: 'account' }
}
