import { randomUUID } from 'node:crypto'
import Router from '@koa/router'
import type { Context } from 'koa'
import type { RememberMe } from '../../accounts/remember-me.ts'
import type { Offers } from '../../config.ts'
import type { BrowserSessions } from '../../oidc/browser-session.ts'
import { cookieNames } from '../../oidc/cookies.ts'
import type { Pages, RenderPage } from '../../oidc/pages.ts'
import { ROUTES } from '../../oidc/provider.ts'
import { originOf } from '../../oidc/record.ts'
import type { Account, AccountStore } from '../../store/account.ts'
import type { Cause, Ending } from '../../store/ending.ts'
import { newEvent } from '../../store/event.ts'
import type { NewMail } from '../../store/mail.ts'
import { type Clock, MINUTE_SECONDS } from '../../time.ts'
import type { Vault } from '../../vault.ts'
import { seeOther } from '../see-other.ts'
import type { AnswerLogin } from '../sign-in/login-form.ts'
import { createRememberCookies } from '../sign-in/remember-me.ts'
import type { SessionNotices } from '../sign-in/session-notice.ts'
import { createCsrf } from '../transport/csrf.ts'
import { formOf } from '../transport/form.ts'
import type { AccountOverview } from './account-overview.ts'
import { answerRefused, type HashNewPassword, isRefused } from './new-password.ts'
import type { AdviseOnPassword } from './password-advice.ts'
import { offersAt } from './sign-in-path.ts'
import type { Visitor, Visitors } from './visitor.ts'

const SIGN_IN_SECONDS = 15 * MINUTE_SECONDS
const HOME = '/account'
const SIGN_IN = `${HOME}/sign-in`
const signInCookie = { path: SIGN_IN, httpOnly: true, sameSite: 'lax', signed: true } as const
const DONE = ['ended', 'password', 'email-asked'] as const

type Needs = {
  issuer: string
  accounts: AccountStore
  hashNewPassword: HashNewPassword
  /** The mail that tells people of it, if they have an address and mail can be sent. */
  tellPasswordChanged: (ctx: Context, account: Account) => NewMail[]
  visitors: Visitors
  offers: Offers
  advisePassword: AdviseOnPassword
  checkLogin: AnswerLogin
  rememberMe: RememberMe
  sessionNotices: SessionNotices
  browserSessions: BrowserSessions
  overview: AccountOverview
  end: (ending: Ending) => Promise<void>
  vault: Vault
  now: Clock
  render: RenderPage
}

/**
 * Where people see what is signed in and connected in their name, and end any of it (OWASP ASVS 7.5.2). Seeing needs a
 * session; ending and changing need the password, if it was not given moments ago.
 */
export function createAccountRoutes(needs: Needs): Router {
  const { issuer, accounts, browserSessions, overview, checkLogin, rememberMe, end, render, visitors } = needs
  const router = new Router({ prefix: HOME })
  const csrf = createCsrf(needs.vault, 'account csrf')
  const cookies = cookieNames(issuer)
  const remembering = createRememberCookies(issuer)
  const signInId = (ctx: Context) => ctx.cookies.get(cookies.signIn, { signed: true })

  router.get(
    '/',
    visitors.only(async (ctx, { account, session }) => {
      const done = DONE.find((word) => word === ctx.query.done)
      const shown = await overview.describe(account, session.uid)
      const { emailChange } = needs.offers
      render(ctx, 'account', { csrf: csrf.tokenFor(session.uid), done, emailChange, ...shown })
    }),
  )

  router.get('/sign-in', async (ctx) => {
    if (await visitors.find(ctx)) return seeOther(ctx, HOME)
    showSignIn(ctx, { username: '', error: undefined, wantsRemembering: false })
  })

  router.post('/sign-in', async (ctx) => {
    csrf.verify(signInId(ctx) ?? '', formOf(ctx).get('csrf'))
    const answer = await checkLogin(ctx, undefined)
    if (answer.outcome === 'refused') return showSignIn(ctx, answer)
    const { account, at, wantsRemembering } = answer
    const rememberedId = await remembering.answer(ctx, rememberMe, { sub: account.sub, wantsRemembering })
    await browserSessions.start(ctx, account, { method: 'password', at, rememberedId })
    needs.sessionNotices.note(ctx)
    ctx.cookies.set(cookies.signIn, null, signInCookie)
    seeOther(ctx, HOME)
  })

  router.post(
    '/end',
    visitors.only(async (ctx, visitor) => {
      const ending = await findEnding(ctx, visitor)
      // It ended by itself since the page was shown.
      if (!ending) return seeOther(ctx, `${HOME}?done=ended`)
      if (!(await visitors.confirm(ctx, visitor, ['what', 'id']))) return
      await end(ending)
      if (ending.what === 'session' && ending.uid === visitor.session.uid) return leave(ctx)
      seeOther(ctx, `${HOME}?done=ended`)
    }),
  )

  router.post(
    '/sign-out-everywhere',
    visitors.only(async (ctx, visitor) => {
      if (!(await visitors.confirm(ctx, visitor))) return
      await accounts.signOut(visitor.account.sub, causeOf(ctx, 'signed_out_everywhere'))
      leave(ctx)
    }),
  )

  router.get(
    '/password',
    visitors.only(async (ctx, visitor) => showPassword(ctx, visitor, { error: undefined, rule: undefined })),
  )

  router.post(
    '/password/advice',
    visitors.only((ctx, { account }) => needs.advisePassword(ctx, account)),
  )

  router.post(
    '/password',
    visitors.only(async (ctx, visitor) => {
      const { account, session } = visitor
      const answer = await checkLogin(ctx, undefined, account.username)
      if (answer.outcome === 'refused')
        return showPassword(ctx, visitor, { error: answer.error, rule: undefined })
      const passwordHash = await needs.hashNewPassword(ctx, account)
      if (isRefused(passwordHash)) return showPassword(ctx, visitor, answerRefused(ctx, passwordHash))
      const detail = { by: 'person' }
      const about = { accountSub: account.sub, sessionUid: session.uid, detail }
      await accounts.setPassword(account.sub, passwordHash, {
        cause: causeOf(ctx, 'password_changed'),
        event: newEvent('account.password_changed', about, originOf(ctx)),
        exceptSessionUid: session.uid,
        mail: needs.tellPasswordChanged(ctx, account),
      })
      // Not when the old one was checked: what was proved before the others ended has ended with them.
      await browserSessions.start(ctx, account, { method: 'password', at: needs.now() })
      seeOther(ctx, `${HOME}?done=password`)
    }),
  )

  return router

  /** What a form asks to end, if it is the visitor's to end. */
  async function findEnding(ctx: Context, { account }: Visitor): Promise<Ending | undefined> {
    const form = formOf(ctx)
    const id = form.get('id') ?? ''
    const { sub } = account
    switch (form.get('what')) {
      case 'browser':
        return (await overview.hasBrowser(sub, id))
          ? { what: 'session', uid: id, cause: causeOf(ctx, 'signed_out_elsewhere') }
          : undefined
      case 'remembered':
        return (await overview.hasRemembered(sub, id))
          ? { what: 'browser', id, cause: causeOf(ctx, 'signed_out_elsewhere') }
          : undefined
      case 'device': {
        const clientId = await overview.findDeviceClient(sub, id)
        if (clientId === undefined) return undefined
        const about = { accountSub: sub, grantId: id, clientId, detail: { by: 'person' } }
        return { what: 'grant', grantId: id, event: newEvent('token.revoked', about, originOf(ctx)) }
      }
      case 'app': {
        if (!(await overview.hasApp(sub, id))) return undefined
        const about = { accountSub: sub, clientId: id, detail: { by: 'person' } }
        const event = newEvent('consent.withdrawn', about, originOf(ctx))
        return { what: 'consent', sub, clientId: id, cause: causeOf(ctx, 'consent_withdrawn'), event }
      }
      default:
        return undefined
    }
  }

  function showSignIn(
    ctx: Context,
    {
      username,
      error,
      wantsRemembering,
    }: Pick<Pages['login'], 'username' | 'error'> & { wantsRemembering: boolean },
  ): void {
    // Who has not signed in has no session to key the form to.
    const id = signInId(ctx) ?? randomUUID()
    ctx.cookies.set(cookies.signIn, id, { ...signInCookie, maxAge: SIGN_IN_SECONDS * 1000 })
    render(ctx, 'login', {
      csrf: csrf.tokenFor(id),
      clientName: undefined,
      username,
      remember: !rememberMe.isOffered ? undefined : wantsRemembering ? 'ticked' : 'offered',
      notice: needs.sessionNotices.wasSignedIn(ctx) ? 'session-ended' : undefined,
      error,
      offers: offersAt(needs.offers, undefined),
    })
  }

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

  /** The session of this browser is over: nothing of it stays behind. */
  function leave(ctx: Context): void {
    browserSessions.forget(ctx)
    remembering.clear(ctx)
    needs.sessionNotices.forget(ctx)
    seeOther(ctx, `${ROUTES.end_session}/success`)
  }
}

function causeOf(ctx: Context, reason: Cause['reason']): Cause {
  return { reason, by: 'person', origin: originOf(ctx) }
}
