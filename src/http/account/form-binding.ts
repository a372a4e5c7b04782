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
import { answerThrottled } from '../login/login-form.ts'
import { interactionOf } from '../login/sign-in-path.ts'
import { createCsrf } from '../transport/csrf.ts'

export type FormBinding = ReturnType<typeof createFormBinding>

type Needs = { issuer: string; vault: Vault; mailRateLimit: MailRateLimit; events: EventStore }

/**
 * Binds the forms of people who are not signed in to a cookie (CSRF). The cookie also tells whether a mailed link is
 * opened in the browser that requested it.
 */
export function createFormBinding({ issuer, vault, mailRateLimit, events }: Needs) {
  const csrf = createCsrf(vault, 'asking csrf')
  const cookie = createCookie(cookieNames(issuer).formBinding, { isSigned: true })
  const hashOf = (id: string) => sha256(id).toString('base64url')

  return {
    /** Returns the CSRF token of a form, and sets the cookie that it is bound to for the lifetime of a mailed link. */
    open(ctx: Context): string {
      const id = cookie.read(ctx) ?? randomSecret()
      cookie.set(ctx, id, { seconds: DAY_SECONDS })
      return csrf.tokenFor(id)
    },

    /** @throws {BadRequestError} 403 */
    verify(ctx: Context): void {
      csrf.verify(cookie.read(ctx) ?? '', formOf(ctx).get('csrf'))
    },

    /** Identifies the browser of a verified form. */
    requesterOf: (ctx: Context): Requester => ({
      browserHash: hashOf(cookie.read(ctx) ?? ''),
      interaction: interactionOf(ctx),
    }),

    isSameBrowser(ctx: Context, { browserHash }: Requester): boolean {
      const id = cookie.read(ctx)
      return id !== undefined && hashOf(id) === browserHash
    },

    /** Whether this instance knows that the network has reached its limit. Then sets the status of the response. */
    isRefused(ctx: Context): boolean {
      const seconds = mailRateLimit.secondsRefused(ctx.ip)
      if (seconds > 0) answerThrottled(ctx, seconds)
      return seconds > 0
    },

    /** Counts a mail. Sets the status of the response when it is refused. */
    async count(ctx: Context, mail: RequestedMail): Promise<'allowed' | 'dropped' | 'refused'> {
      const verdict = await mailRateLimit.count(mail, ctx.ip)
      if (verdict.outcome === 'refused') answerThrottled(ctx, verdict.retryAfterSeconds)
      else if (verdict.outcome === 'dropped' && verdict.isFirst && verdict.by.isShared)
        await events.record([
          newEvent('mail.throttled', { detail: { limit: verdict.by.name } }, originOf(ctx)),
        ])
      return verdict.outcome
    },

    giveBack: mailRateLimit.giveBack,
  }
}
