import { randomUUID } from 'node:crypto'
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { HashingBusyError, type PasswordHasher } from '../accounts/password.ts'
import { type PasswordOwner, PasswordRuleError, type PasswordRules } from '../accounts/password-rules.ts'
import type { RememberMe } from '../accounts/remember-me.ts'
import type { BrowserSession, BrowserSessions } from '../oidc/browser-session.ts'
import { cookieNames } from '../oidc/cookies.ts'
import type { Pages, RenderPage } from '../oidc/pages.ts'
import { ROUTES } from '../oidc/provider.ts'
import { originOf } from '../oidc/record.ts'
import { isRemembered } from '../oidc/session-use.ts'
import type { Account, AccountStore } from '../store/account.ts'
import type { Cause, Ending } from '../store/ending.ts'
import { newEvent } from '../store/event.ts'
import { type Clock, MINUTE_SECONDS, toEpochSeconds } from '../time.ts'
import type { Vault } from '../vault.ts'
import type { AccountOverview } from './account-overview.ts'
import { createCsrf } from './csrf.ts'
import { formOf } from './guards.ts'
import { type AnswerLogin, answerBusy } from './login-form.ts'
import { createRememberCookies } from './remember-me.ts'
import type { SessionNotices } from './session-notice.ts'

/** What changes access needs a proof this recent (OWASP ASVS 7.5.1, 7.5.2). */
const FRESH_SECONDS = 5 * MINUTE_SECONDS
const SIGN_IN_SECONDS = 15 * MINUTE_SECONDS
const HOME = '/account'
const SIGN_IN = `${HOME}/sign-in`
const signInCookie = { path: SIGN_IN, httpOnly: true, sameSite: 'lax', signed: true } as const
const DONE = ['ended', 'password'] as const

type Needs = {
  issuer: string
  accounts: AccountStore
  hasher: PasswordHasher
  passwordRules: PasswordRules
  checkLogin: AnswerLogin
  rememberMe: RememberMe
  sessionNotices: SessionNotices
  browserSessions: BrowserSessions
  overview: AccountOverview
  end: (ending: Ending) => Promise<void>
  vault: Vault
  render: RenderPage
  now: Clock
}

/** Who looks at the page, in which session. */
type Visitor = { account: Account; session: BrowserSession }

/**
 * Where people see what is signed in and connected in their name, and end any of it (OWASP ASVS 7.5.2). Seeing needs a
 * session; ending and changing need the password, if it was not given moments ago.
 */
export function createAccountRoutes(needs: Needs): Router {
  const { issuer, accounts, browserSessions, overview, checkLogin, rememberMe, end, render, now } = needs
  const router = new Router({ prefix: HOME })
  const csrf = createCsrf(needs.vault, 'account csrf')
  const cookies = cookieNames(issuer)
  const remembering = createRememberCookies(issuer)

  router.get(
    '/',
    forVisitor(async (ctx, { account, session }) => {
      const done = DONE.find((word) => word === ctx.query.done)
      const shown = await overview.describe(account, session.uid)
      render(ctx, 'account', { csrf: csrf.tokenFor(session.uid), done, ...shown })
    }),
  )

  router.get('/sign-in', async (ctx) => {
    if (await findVisitor(ctx)) return redirect(ctx, HOME)
    showSignIn(ctx, { username: '', error: undefined, wantsRemembering: false })
  })

  router.post('/sign-in', async (ctx) => {
    csrf.verify(ctx.cookies.get(cookies.signIn) ?? '', formOf(ctx).get('csrf'))
    const answer = await checkLogin(ctx, undefined)
    if (answer.outcome === 'refused') return showSignIn(ctx, answer)
    const { account, at, wantsRemembering } = answer
    const rememberedId = await remembering.answer(ctx, rememberMe, { sub: account.sub, wantsRemembering })
    await browserSessions.start(ctx, account, { method: 'password', at, rememberedId })
    needs.sessionNotices.note(ctx)
    ctx.cookies.set(cookies.signIn, null, signInCookie)
    redirect(ctx, HOME)
  })

  router.post(
    '/end',
    forVisitor(async (ctx, visitor) => {
      const ending = await findEnding(ctx, visitor)
      // It ended by itself since the page was shown.
      if (!ending) return redirect(ctx, `${HOME}?done=ended`)
      if (!(await confirm(ctx, visitor))) return
      await end(ending)
      if (ending.what === 'session' && ending.uid === visitor.session.uid) return leave(ctx)
      redirect(ctx, `${HOME}?done=ended`)
    }),
  )

  router.post(
    '/sign-out-everywhere',
    forVisitor(async (ctx, visitor) => {
      if (!(await confirm(ctx, visitor))) return
      await accounts.signOut(visitor.account.sub, causeOf(ctx, 'signed_out_everywhere'))
      leave(ctx)
    }),
  )

  router.get(
    '/password',
    forVisitor(async (ctx, visitor) => showPassword(ctx, visitor, { error: undefined, rule: undefined })),
  )

  router.post(
    '/password',
    forVisitor(async (ctx, visitor) => {
      const { account, session } = visitor
      const answer = await checkLogin(ctx, undefined, account.username)
      if (answer.outcome === 'refused')
        return showPassword(ctx, visitor, { error: answer.error, rule: undefined })
      const passwordHash = await hashNewPassword(ctx, account)
      if (passwordHash instanceof PasswordRuleError) {
        ctx.status = 400
        return showPassword(ctx, visitor, { error: 'rule', rule: passwordHash.fault })
      }
      if (passwordHash instanceof HashingBusyError) {
        answerBusy(ctx)
        return showPassword(ctx, visitor, { error: 'busy', rule: undefined })
      }
      const detail = { by: 'person' }
      const about = { accountSub: account.sub, sessionUid: session.uid, detail }
      await accounts.setPassword(account.sub, passwordHash, {
        cause: causeOf(ctx, 'password_changed'),
        event: newEvent('account.password_changed', about, originOf(ctx)),
        exceptSessionUid: session.uid,
      })
      await browserSessions.start(ctx, account, { method: 'password', at: answer.at })
      redirect(ctx, `${HOME}?done=password`)
    }),
  )

  return router

  /** Who is not signed in any more signs in first; a form of theirs is not acted on afterwards. */
  function forVisitor(answer: (ctx: Context, visitor: Visitor) => Promise<void>): Middleware {
    return async (ctx) => {
      const visitor = await findVisitor(ctx)
      // By way of the page itself, where a remembered browser is recognised.
      if (!visitor) return redirect(ctx, ctx.path === HOME ? SIGN_IN : HOME)
      if (ctx.method === 'POST') csrf.verify(visitor.session.uid, formOf(ctx).get('csrf'))
      return await answer(ctx, visitor)
    }
  }

  async function findVisitor(ctx: Context): Promise<Visitor | undefined> {
    const session = await browserSessions.use(ctx)
    const account = session?.accountId === undefined ? undefined : await accounts.find(session.accountId)
    return session && account?.status === 'active' ? { account, session } : undefined
  }

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

  /** Whether the visitor proved moments ago who they are; otherwise they are asked, and the form comes again. */
  async function confirm(ctx: Context, { account, session }: Visitor): Promise<boolean> {
    const isFresh = toEpochSeconds(now()) - (session.loginTs ?? 0) <= FRESH_SECONDS
    if (isFresh && !isRemembered(session)) return true
    const form = formOf(ctx)
    const isAnswered = form.has('password')
    const answer = isAnswered ? await checkLogin(ctx, undefined, account.username) : undefined
    if (answer?.outcome === 'accepted') {
      await browserSessions.start(ctx, account, { method: 'password', at: answer.at })
      return true
    }
    render(ctx, 'account-confirm', {
      csrf: csrf.tokenFor(session.uid),
      username: account.username,
      action: ctx.path,
      fields: ['what', 'id'].flatMap((name) => {
        const value = form.get(name)
        return value === null ? [] : [{ name, value }]
      }),
      error: answer?.error,
    })
    return false
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
    const id = ctx.cookies.get(cookies.signIn) ?? randomUUID()
    ctx.cookies.set(cookies.signIn, id, { ...signInCookie, maxAge: SIGN_IN_SECONDS * 1000 })
    render(ctx, 'login', {
      csrf: csrf.tokenFor(id),
      clientName: undefined,
      username,
      remember: !rememberMe.isOffered ? undefined : wantsRemembering ? 'ticked' : 'offered',
      notice: needs.sessionNotices.wasSignedIn(ctx) ? 'session-ended' : undefined,
      error,
    })
  }

  function showPassword(
    ctx: Context,
    { account, session }: Visitor,
    shown: Pick<Pages['account-password'], 'error' | 'rule'>,
  ): void {
    render(ctx, 'account-password', {
      csrf: csrf.tokenFor(session.uid),
      username: account.username,
      ...shown,
    })
  }

  async function hashNewPassword(
    ctx: Context,
    owner: PasswordOwner,
  ): Promise<string | PasswordRuleError | HashingBusyError> {
    try {
      const password = await needs.passwordRules.parse(formOf(ctx).get('new_password') ?? '', owner)
      return await needs.hasher.hash(password)
    } catch (error) {
      if (error instanceof PasswordRuleError || error instanceof HashingBusyError) return error
      throw error
    }
  }

  /** The session of this browser is over: nothing of it stays behind. */
  function leave(ctx: Context): void {
    browserSessions.forget(ctx)
    remembering.clear(ctx)
    needs.sessionNotices.forget(ctx)
    redirect(ctx, `${ROUTES.end_session}/success`)
  }
}

function causeOf(ctx: Context, reason: Cause['reason']): Cause {
  return { reason, by: 'person', origin: originOf(ctx) }
}

/** Only to pages of ours, named here: nothing that a request says leads anywhere (OWASP ASVS 3.7.2). */
function redirect(ctx: Context, path: string): void {
  ctx.status = 303
  ctx.redirect(path)
}
