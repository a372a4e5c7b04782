import type { Context } from 'koa'
import type { Requester } from '../../accounts/mail-links.ts'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { randomSecret, sha256, type Vault } from '../../crypto/vault.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import type { MailRateLimit, RequestedMail } from '../../rate-limiting/mail-rate-limit.ts'
import { DAY_SECONDS } from '../../time.ts'
import { interactionOf } from '../login/sign-in-path.ts'
import { createCsrf } from '../transport/csrf.ts'

export type FormBinding = ReturnType<typeof createFormBinding>

/**
 * Forms of people who have not signed in: keyed to a cookie, by which the browser is known again when it comes back
 * with the link that was mailed.
 */
export function createFormBinding({
  issuer,
  vault,
  mailRateLimit,
  events,
}: {
  issuer: string
  vault: Vault
  mailRateLimit: MailRateLimit
  events: EventStore
}) {
  const csrf = createCsrf(vault, 'asking csrf')
  const cookie = createCookie(cookieNames(issuer).formBinding, { isSigned: true })
  const hashOf = (id: string) => sha256(id).toString('base64url')

  return {
    /** The CSRF token of a form that is shown; the cookie it is keyed to stays as long as links do. */
    open(ctx: Context): string {
      const id = cookie.read(ctx) ?? randomSecret()
      cookie.set(ctx, id, { seconds: DAY_SECONDS })
      return csrf.tokenFor(id)
    },

    /** @throws {BadRequestError} 403 */
    verify(ctx: Context): void {
      csrf.verify(cookie.read(ctx) ?? '', formOf(ctx).get('csrf'))
    },

    /** Who asks, for a form that was verified. */
    requesterOf: (ctx: Context): Requester => ({
      browserHash: hashOf(cookie.read(ctx) ?? ''),
      interaction: interactionOf(ctx),
    }),

    isSameBrowser(ctx: Context, { browserHash }: Requester): boolean {
      const id = cookie.read(ctx)
      return id !== undefined && hashOf(id) === browserHash
    },

    /** Whether this instance knows that the network is refused; sets the status of the response in that case. */
    isRefused(ctx: Context): boolean {
      const seconds = mailRateLimit.secondsRefused(ctx.ip)
      if (seconds > 0) refuse(ctx, seconds)
      return seconds > 0
    },

    /** Counts a mail; the status of the response is set for a refusal. */
    async count(ctx: Context, mail: RequestedMail): Promise<'allowed' | 'dropped' | 'refused'> {
      const verdict = await mailRateLimit.count(mail, ctx.ip)
      if (verdict.outcome === 'refused') refuse(ctx, verdict.retryAfterSeconds)
      else if (verdict.outcome === 'dropped' && verdict.isFirst && verdict.by.isShared)
        await events.record([
          newEvent('mail.throttled', { detail: { limit: verdict.by.name } }, originOf(ctx)),
        ])
      return verdict.outcome
    },

    giveBack: mailRateLimit.giveBack,
  }

  function refuse(ctx: Context, retryAfterSeconds: number): void {
    ctx.status = 429
    ctx.set('Retry-After', String(retryAfterSeconds))
  }
}
