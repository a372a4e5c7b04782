import type { Context, Middleware } from 'koa'
import type { Vault } from '../../crypto/vault.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import { isRemembered, provenEpoch } from '../../oidc/session/authentication.ts'
import type { BrowserSession } from '../../oidc/session/browser-session.ts'
import type { Account, AccountStore } from '../../store/account/account.ts'
import type { RevocationCause } from '../../store/revocation/revocation.ts'
import { MINUTE_SECONDS } from '../../time.ts'
import type { RenderPage } from '../../ui/view-models.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import { seeOther } from '../pages/views.ts'
import { createCsrf } from '../transport/csrf.ts'

/** A change of access requires an authentication at most this old (OWASP ASVS 7.5.1, 7.5.2). */
const FRESH_SECONDS = 5 * MINUTE_SECONDS
const HOME = '/account'
const SIGN_IN = `${HOME}/sign-in`

/** The account of a request, and the session that it was authenticated in. */
export type SignedInUser = Readonly<{ account: Account; session: BrowserSession }>

export type SignedInUsers = ReturnType<typeof createSignedInUsers>

type Needs = {
  accounts: AccountStore
  signIn: Pick<SignInParts, 'browserSessions' | 'checkLogin'>
  vault: Vault
  render: RenderPage
}

/** Authenticates requests to the account pages. */
export function createSignedInUsers({ accounts, signIn, vault, render }: Needs) {
  const { browserSessions, checkLogin } = signIn
  const csrf = createCsrf(vault, 'account csrf')

  async function find(ctx: Context): Promise<SignedInUser | undefined> {
    const session = await browserSessions.use(ctx)
    const account = session?.accountId === undefined ? undefined : await accounts.find(session.accountId)
    if (!session || account?.status !== 'active') return undefined
    // A revocation between the reads of session and account would let this request pass under the new epoch.
    return account.accessEpoch === provenEpoch(account.sub) ? { account, session } : undefined
  }

  return {
    find,
    csrfTokenFor: ({ session }: SignedInUser): string => csrf.tokenFor(session.uid),

    /** Redirects to sign-in when the session has ended; a form that was submitted without a session has no effect. */
    only(answer: (ctx: Context, user: SignedInUser) => Promise<void>): Middleware {
      return async (ctx) => {
        const user = await find(ctx)
        // The account page recognises remembered browsers.
        if (!user) return seeOther(ctx, ctx.path === HOME ? SIGN_IN : HOME)
        if (ctx.method === 'POST') csrf.verify(user.session.uid, formOf(ctx).get('csrf'))
        return await answer(ctx, user)
      }
    },

    /**
     * Whether the user authenticated recently. If not, asks for the password and then submits the form again.
     *
     * @param names fields of the form to submit again.
     */
    async confirm(
      ctx: Context,
      { account, session }: SignedInUser,
      names: readonly string[] = [],
    ): Promise<boolean> {
      if (!session.past(FRESH_SECONDS) && !isRemembered(session)) return true
      const form = formOf(ctx)
      const isAnswered = form.has('password')
      const answer = isAnswered ? await checkLogin(ctx, undefined, { username: account.username }) : undefined
      if (answer?.outcome === 'accepted') {
        await browserSessions.start(ctx, answer.account, { method: 'password', at: answer.at })
        return true
      }
      render(ctx, 'account-confirm', {
        csrf: csrf.tokenFor(session.uid),
        username: account.username,
        action: ctx.path,
        fields: names.flatMap((name) => {
          const value = form.get(name)
          return value === null ? [] : [{ name, value }]
        }),
        error: answer?.error,
      })
      return false
    },
  }
}

/** The cause of a revocation by the person. */
export function causeOf(ctx: Context, reason: RevocationCause['reason']): RevocationCause {
  return { reason, by: 'person', origin: originOf(ctx) }
}
