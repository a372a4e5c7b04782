import Router from '@koa/router'
import type { Context } from 'koa'
import { newEvent } from '../../audit/event.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { Account, AccountStore } from '../../store/account/account.ts'
import type { NewMail } from '../../store/outbox/mail.ts'
import type { Pages } from '../../ui/view-models.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import { seeOther, type Views } from '../pages/views.ts'
import { answerRefused, isRefused, type NewPasswordForm } from './new-password.ts'
import { causeOf, type SignedInUser, type SignedInUsers } from './signed-in-user.ts'

type Needs = {
  accounts: AccountStore
  users: SignedInUsers
  signIn: Pick<SignInParts, 'browserSessions' | 'checkLogin' | 'deviceCookies'>
  newPassword: NewPasswordForm
  /** The mail that reports the change. */
  changeNotice: (account: Account, language: string) => NewMail[]
  views: Pick<Views, 'render' | 'words'>
}

/** Changes the password of a person who knows the old one, and revokes everything but the session that it is set in. */
export function createPasswordChangeRoutes(needs: Needs): Router {
  const { accounts, users, signIn, newPassword, changeNotice, views } = needs
  const router = new Router({ prefix: '/account/password' })

  router.get(
    '/',
    users.only(async (ctx, user) => showPassword(ctx, user, { error: undefined, rule: undefined })),
  )

  router.post(
    '/advice',
    users.only((ctx, { account }) => newPassword.advise(ctx, account)),
  )

  router.post(
    '/',
    users.only(async (ctx, user) => {
      const { account, session } = user
      const answer = await signIn.checkLogin(ctx, undefined, { username: account.username })
      if (answer.outcome === 'refused')
        return showPassword(ctx, user, { error: answer.error, rule: undefined })
      const hash = await newPassword.admit(ctx, account.sub)
      const passwordHash = isRefused(hash) ? hash : await hash(account)
      if (isRefused(passwordHash)) return showPassword(ctx, user, answerRefused(ctx, passwordHash))
      const detail = { by: 'person' }
      const about = { accountSub: account.sub, sessionUid: session.uid, detail }
      const accessEpoch = await accounts.setPassword(account.sub, passwordHash, {
        cause: causeOf(ctx, 'password_changed'),
        event: newEvent('account.password_changed', about, originOf(ctx)),
        exceptSessionUid: session.uid,
        mail: changeNotice(account, views.words(ctx).lang),
        accessEpoch: answer.account.accessEpoch,
      })
      // The access epoch was raised during hashing: the password was not set, and this session has ended.
      if (accessEpoch === undefined) return seeOther(ctx, '/account')
      const renewed = { ...answer.account, accessEpoch }
      signIn.deviceCookies.issue(ctx, renewed)
      await signIn.browserSessions.start(ctx, renewed, { method: 'password', at: answer.at })
      seeOther(ctx, '/account?done=password')
    }),
  )

  return router

  function showPassword(
    ctx: Context,
    user: SignedInUser,
    shown: Pick<Pages['account-password'], 'error' | 'rule'>,
  ): void {
    views.render(ctx, 'account-password', {
      csrf: users.csrfTokenFor(user),
      username: user.account.username,
      ...shown,
    })
  }
}
