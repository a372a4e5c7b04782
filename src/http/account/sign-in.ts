import { randomUUID } from 'node:crypto'
import Router from '@koa/router'
import type { Context } from 'koa'
import type { Offers } from '../../config/config.ts'
import type { Vault } from '../../crypto/vault.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import { MINUTE_SECONDS } from '../../time.ts'
import type { Pages, RenderPage } from '../../ui/view-models.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import { selfServiceLinks } from '../login/sign-in-path.ts'
import { seeOther } from '../pages/views.ts'
import { createCsrf } from '../transport/csrf.ts'
import type { SignedInUsers } from './signed-in-user.ts'

const SIGN_IN_SECONDS = 15 * MINUTE_SECONDS
const HOME = '/account'
const SIGN_IN = `${HOME}/sign-in`

type Needs = {
  issuer: string
  users: SignedInUsers
  offers: Offers
  signIn: SignInParts
  vault: Vault
  render: RenderPage
}

/** Signs in to the account page itself, without an authorization request. */
export function createAccountSignInRoutes(needs: Needs): Router {
  const { issuer, users, offers, vault, render } = needs
  const { checkLogin, rememberMe, rememberCookies, browserSessions, sessionNotices } = needs.signIn
  const router = new Router({ prefix: SIGN_IN })
  const csrf = createCsrf(vault, 'account csrf')
  const cookie = createCookie(cookieNames(issuer).signIn, { isSigned: true, path: SIGN_IN })

  router.get('/', async (ctx) => {
    if (await users.find(ctx)) return seeOther(ctx, HOME)
    showSignIn(ctx, { username: '', error: undefined, wantsRemembering: false })
  })

  router.post('/', async (ctx) => {
    csrf.verify(cookie.read(ctx) ?? '', formOf(ctx).get('csrf'))
    const answer = await checkLogin(ctx, undefined)
    if (answer.outcome === 'refused') return showSignIn(ctx, answer)
    const { account, at, wantsRemembering } = answer
    const rememberedId = await rememberCookies.rememberOrForget(ctx, rememberMe, {
      account,
      wantsRemembering,
    })
    await browserSessions.start(ctx, account, { method: 'password', at, rememberedId })
    sessionNotices.set(ctx)
    cookie.clear(ctx)
    seeOther(ctx, HOME)
  })

  return router

  function showSignIn(
    ctx: Context,
    {
      username,
      error,
      wantsRemembering,
    }: Pick<Pages['login'], 'username' | 'error'> & { wantsRemembering: boolean },
  ): void {
    // There is no session yet to bind the form to.
    const id = cookie.read(ctx) ?? randomUUID()
    cookie.set(ctx, id, { seconds: SIGN_IN_SECONDS })
    render(ctx, 'login', {
      csrf: csrf.tokenFor(id),
      clientName: undefined,
      username,
      remember: !rememberMe.isOffered ? undefined : wantsRemembering ? 'ticked' : 'offered',
      notice: sessionNotices.wasSignedIn(ctx) ? 'session-ended' : undefined,
      error,
      offers: selfServiceLinks(offers, undefined),
    })
  }
}
