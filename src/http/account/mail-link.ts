import Router from '@koa/router'
import type { Context } from 'koa'
import { LINK_PATH, type MailLinks, type OpenLink } from '../../accounts/mail-links.ts'
import type { Vault } from '../../crypto/vault.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import type { AccountStore } from '../../store/account/account.ts'
import type { LinkPurpose } from '../../store/account/mail-link.ts'
import { MINUTE_SECONDS } from '../../time.ts'
import type { RenderPage } from '../../ui/view-models.ts'
import { seeOther } from '../pages/views.ts'
import { createCsrf } from '../transport/csrf.ts'

const SECRET = /^[\w-]{43}$/
/** How long the page of an opened link can be used. */
const PAGE_SECONDS = 30 * MINUTE_SECONDS

/** The page of each kind of link. */
const PAGES: Record<LinkPurpose, string> = {
  registration: '/account/register/confirm',
  reset: '/account/reset/password',
  verification: '/account/email/confirm',
  email_change: '/account/email/confirm',
}

type LinkFor<Purpose extends LinkPurpose> = Extract<OpenLink, { purpose: Purpose }>

export type OpenedLinks = ReturnType<typeof createOpenedLinks>

type Needs = { issuer: string; accounts: AccountStore; links: MailLinks; vault: Vault; render: RenderPage }

/** Links that a browser opened. The secret moves from the URL, which is stored and shown, into a cookie. */
export function createOpenedLinks({ issuer, accounts, links, vault, render }: Needs) {
  const csrf = createCsrf(vault, 'mail link csrf')
  const cookie = createCookie(cookieNames(issuer).link, { isSigned: false, path: '/account' })
  const read = (ctx: Context) => cookie.read(ctx) ?? ''

  /** The page does not say whether the link was used, replaced or expired. */
  function showInvalidLink(ctx: Context): void {
    ctx.status = 400
    render(ctx, 'link-over', {})
  }

  async function find<Purpose extends LinkPurpose>(
    ctx: Context,
    ...purposes: Purpose[]
  ): Promise<LinkFor<Purpose> | undefined> {
    const secret = read(ctx)
    if (ctx.method === 'POST') csrf.verify(secret, formOf(ctx).get('csrf'))
    const link = await links.find(secret)
    if (link && purposes.some((purpose) => purpose === link.purpose)) return link as LinkFor<Purpose>
    showInvalidLink(ctx)
    return undefined
  }

  return {
    showInvalidLink,

    async open(ctx: Context, secret: string): Promise<void> {
      const link = SECRET.test(secret) ? await links.find(secret) : undefined
      if (!link) return showInvalidLink(ctx)
      cookie.set(ctx, secret, { seconds: PAGE_SECONDS })
      seeOther(ctx, PAGES[link.purpose])
    },

    /**
     * Finds the opened link for one of these purposes. Verifies the CSRF token of a form first.
     *
     * @returns undefined when the link is not valid any more; then the page of {@link showInvalidLink} is rendered.
     * @throws {BadRequestError} 403
     */
    find,

    /** The same with the account that the link is for. */
    async findWithAccount<Purpose extends LinkPurpose>(ctx: Context, ...purposes: Purpose[]) {
      const link = await find(ctx, ...purposes)
      if (!link) return undefined
      const account = link.accountSub === undefined ? undefined : await accounts.find(link.accountSub)
      if (account) return { link, account }
      showInvalidLink(ctx)
      return undefined
    },

    csrfTokenFor: (ctx: Context): string => csrf.tokenFor(read(ctx)),

    close: cookie.clear,
  }
}

/** The key of a link for rate limits. */
export const keyOf = ({ secretHash }: OpenLink): string => Buffer.from(secretHash).toString('base64url')

/** Answers mailed links. Opening a link changes nothing, because mail scanners open links too. */
export function createLinkRoutes({ openedLinks }: { openedLinks: OpenedLinks }): Router {
  const router = new Router()
  router.get(`${LINK_PATH}/:secret`, (ctx) => openedLinks.open(ctx, String(ctx.params.secret)))
  return router
}
