import type { Context } from 'koa'
import type { MailLimits } from '../../accounts/mail-limits.ts'
import type { Asker } from '../../accounts/mail-links.ts'
import { cookieNames } from '../../oidc/cookies.ts'
import { DAY_SECONDS } from '../../time.ts'
import { randomSecret, sha256, type Vault } from '../../vault.ts'
import { createCsrf } from '../transport/csrf.ts'
import { formOf } from '../transport/form.ts'
import { interactionOf } from './sign-in-path.ts'

export type Asking = ReturnType<typeof createAsking>

/**
 * Forms of people who have not signed in: keyed to a cookie, by which the browser is known again when it comes back
 * with the link that was mailed.
 */
export function createAsking({
  issuer,
  vault,
  mailLimits,
}: {
  issuer: string
  vault: Vault
  mailLimits: MailLimits
}) {
  const csrf = createCsrf(vault, 'asking csrf')
  const name = cookieNames(issuer).asking
  const options = { httpOnly: true, sameSite: 'lax', signed: true } as const
  const read = (ctx: Context) => ctx.cookies.get(name, { signed: true })
  const hashOf = (id: string) => sha256(id).toString('base64url')

  return {
    /** The CSRF token of a form that is shown; the cookie it is keyed to stays as long as links do. */
    open(ctx: Context): string {
      const id = read(ctx) ?? randomSecret()
      ctx.cookies.set(name, id, { ...options, maxAge: DAY_SECONDS * 1000 })
      return csrf.tokenFor(id)
    },

    /** @throws {BadRequestError} 403 */
    verify(ctx: Context): void {
      csrf.verify(read(ctx) ?? '', formOf(ctx).get('csrf'))
    },

    /** Who asks, for a form that was verified. */
    askerOf: (ctx: Context): Asker => ({
      browserHash: hashOf(read(ctx) ?? ''),
      interaction: interactionOf(ctx),
    }),

    isSameBrowser(ctx: Context, { browserHash }: Asker): boolean {
      const id = read(ctx)
      return id !== undefined && hashOf(id) === browserHash
    },

    /** Counts a mail; the status of the response is set for a refusal. */
    async count(
      ctx: Context,
      ...[asked, to]: Parameters<MailLimits['notAsked']>
    ): Promise<'allowed' | 'dropped' | 'refused'> {
      const verdict = await mailLimits.count(asked, to, ctx.ip)
      if (verdict.outcome === 'refused') {
        ctx.status = 429
        ctx.set('Retry-After', String(verdict.retryAfterSeconds))
      }
      return verdict.outcome
    },

    notAsked: mailLimits.notAsked,
  }
}
