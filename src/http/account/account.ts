import Router from '@koa/router'
import type { Context } from 'koa'
import { newEvent } from '../../audit/event.ts'
import type { Offers } from '../../config/config.ts'
import { ROUTES } from '../../oidc/engine/endpoints.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import type { AccountStore } from '../../store/account/account.ts'
import type { Ending } from '../../store/revocation/revocation.ts'
import type { RenderPage } from '../../ui/view-models.ts'
import { createRememberCookies } from '../login/remember-me.ts'
import type { SessionNotices } from '../login/session-notice.ts'
import { seeOther } from '../transport/see-other.ts'
import type { AccountOverview } from './account-overview.ts'
import { causeOf, type Visitor, type Visitors } from './signed-in-user.ts'

const HOME = '/account'
const DONE = ['ended', 'password', 'email-asked'] as const

type Needs = {
  issuer: string
  accounts: AccountStore
  visitors: Visitors
  offers: Offers
  sessionNotices: SessionNotices
  browserSessions: BrowserSessions
  overview: AccountOverview
  end: (ending: Ending) => Promise<void>
  render: RenderPage
}

/**
 * Where people see what is signed in and connected in their name, and end any of it (OWASP ASVS 7.5.2). Seeing needs a
 * session; ending needs the password, if it was not given moments ago.
 */
export function createAccountRoutes(needs: Needs): Router {
  const { issuer, accounts, browserSessions, overview, end, render, visitors } = needs
  const router = new Router({ prefix: HOME })
  const remembering = createRememberCookies(issuer)

  router.get(
    '/',
    visitors.only(async (ctx, visitor) => {
      const { account, session } = visitor
      const done = DONE.find((word) => word === ctx.query.done)
      const shown = await overview.describe(account, session.uid)
      const { emailChange } = needs.offers
      render(ctx, 'account', { csrf: visitors.csrfTokenFor(visitor), done, emailChange, ...shown })
    }),
  )

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

  /** The session of this browser is over: nothing of it stays behind. */
  function leave(ctx: Context): void {
    browserSessions.forget(ctx)
    remembering.clear(ctx)
    needs.sessionNotices.forget(ctx)
    seeOther(ctx, `${ROUTES.end_session}/success`)
  }
}
