import Router from '@koa/router'
import type { Context } from 'koa'
import { newEvent } from '../../audit/event.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import type { Account, AccountStore } from '../../store/account/account.ts'
import type { NewMail } from '../../store/outbox/mail.ts'
import type { Clock } from '../../time.ts'
import type { Pages, RenderPage } from '../../ui/view-models.ts'
import type { DeviceCookies } from '../login/device-cookie.ts'
import type { AnswerLogin } from '../login/login-form.ts'
import { seeOther } from '../transport/see-other.ts'
import { type AdmitNewPassword, answerRefused, isRefused } from './new-password.ts'
import type { AdviseOnPassword } from './password-advice.ts'
import { causeOf, type Visitor, type Visitors } from './signed-in-user.ts'

type Needs = {
  accounts: AccountStore
  visitors: Visitors
  checkLogin: AnswerLogin
  admitNewPassword: AdmitNewPassword
  advisePassword: AdviseOnPassword
  /** The mail that tells people of it, if they have an address and mail can be sent. */
  tellPasswordChanged: (ctx: Context, account: Account) => NewMail[]
  browserSessions: BrowserSessions
  deviceCookies: DeviceCookies
  render: RenderPage
  now: Clock
}

/** A new password, for who knows the old one. It ends everything but the session that it is set in. */
export function createPasswordChangeRoutes(needs: Needs): Router {
  const { accounts, visitors, checkLogin, browserSessions, render } = needs
  const router = new Router({ prefix: '/account/password' })

  router.get(
    '/',
    visitors.only(async (ctx, visitor) => showPassword(ctx, visitor, { error: undefined, rule: undefined })),
  )

  router.post(
    '/advice',
    visitors.only((ctx, { account }) => needs.advisePassword(ctx, account)),
  )

  router.post(
    '/',
    visitors.only(async (ctx, visitor) => {
      const { account, session } = visitor
      const answer = await checkLogin(ctx, undefined, { username: account.username })
      if (answer.outcome === 'refused')
        return showPassword(ctx, visitor, { error: answer.error, rule: undefined })
      const hash = await needs.admitNewPassword(ctx, account.sub)
      const passwordHash = isRefused(hash) ? hash : await hash(account)
      if (isRefused(passwordHash)) return showPassword(ctx, visitor, answerRefused(ctx, passwordHash))
      const detail = { by: 'person' }
      const about = { accountSub: account.sub, sessionUid: session.uid, detail }
      const accessEpoch = await accounts.setPassword(account.sub, passwordHash, {
        cause: causeOf(ctx, 'password_changed'),
        event: newEvent('account.password_changed', about, originOf(ctx)),
        exceptSessionUid: session.uid,
        mail: needs.tellPasswordChanged(ctx, account),
        accessEpoch: answer.account.accessEpoch,
      })
      // The access epoch was raised while the new password was hashed: it is not set, and this session has ended.
      if (accessEpoch === undefined) return seeOther(ctx, '/account')
      const renewed = { ...answer.account, accessEpoch }
      needs.deviceCookies.issue(ctx, renewed)
      await browserSessions.start(ctx, renewed, { method: 'password', at: needs.now() })
      seeOther(ctx, '/account?done=password')
    }),
  )

  return router

  function showPassword(
    ctx: Context,
    visitor: Visitor,
    shown: Pick<Pages['account-password'], 'error' | 'rule'>,
  ): void {
    render(ctx, 'account-password', {
      csrf: visitors.csrfTokenFor(visitor),
      username: visitor.account.username,
      ...shown,
    })
  }
}
