import type { Context } from 'koa'
import { normalizePassword, type PasswordHasher, type PasswordQueue } from '../../accounts/password.ts'
import type { PasswordOwner, PasswordRules } from '../../accounts/password-rules.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { LIMITS } from '../../rate-limiting/limits.ts'
import { widestNetworkOf } from '../../rate-limiting/network.ts'
import { byNetworks, type RateLimiter } from '../../rate-limiting/rate-limiter.ts'
import type { PasswordFault } from '../../ui/view-models.ts'
import { answerBusy, answerThrottled } from '../login/login-form.ts'
import type { Views } from '../pages/views.ts'

/** Why a new password was not hashed: a rule, no place in the password queue (503), or a rate limit (429). */
export type RefusedPassword =
  | { error: 'rule'; rule: PasswordFault }
  | { error: 'busy'; rule: undefined }
  | { error: 'throttled'; rule: undefined; retryAfterSeconds: number }

/** Checks the form's new password against the rules for its owner, and hashes it. */
type Hash = (owner: PasswordOwner) => Promise<string | RefusedPassword>

export type NewPasswordForm = ReturnType<typeof createNewPasswordForm>

type Needs = {
  passwords: { rules: PasswordRules; queue: PasswordQueue; hasher: PasswordHasher }
  rateLimiter: RateLimiter
  views: Pick<Views, 'words'>
}

/** Forms that set a password. Checking and hashing are expensive, so each attempt is counted first. */
export function createNewPasswordForm({ passwords, rateLimiter, views }: Needs) {
  const { rules, queue, hasher } = passwords
  return {
    /**
     * Counts a form that sets a password.
     *
     * @param of the mailed link, or the signed-in account; undefined before either is known.
     * @returns a function that hashes the password.
     */
    async admit(ctx: Context, of: string | undefined): Promise<Hash | RefusedPassword> {
      const networks = byNetworks(ctx.ip, { limit: LIMITS.newPasswordByNetwork })
      const link = of === undefined ? [] : [{ limit: LIMITS.newPasswordByLink, of }]
      const verdict = await rateLimiter.count(...networks, link)
      if (verdict.outcome === 'refused')
        return { error: 'throttled', rule: undefined, retryAfterSeconds: verdict.retryAfterSeconds }
      return async (owner) => {
        const password = passwordIn(ctx)
        const rule = await rules.check(password, owner)
        if (rule) return { error: 'rule', rule }
        const isGone = () => ctx.req.socket.destroyed
        const place = { network: widestNetworkOf(ctx.ip), path: ['new password'], isGone }
        const queued = await queue.run(place, () => hasher.hash(normalizePassword(password)))
        return queued.outcome === 'done' ? queued.result : { error: 'busy', rule: undefined }
      }
    },

    /**
     * Answers, while a person types, what is wrong with a new password: `{ "advice": "…" }` in the language of the page,
     * empty when the password is acceptable. The caller verifies the CSRF token of the form first.
     */
    async advise(ctx: Context, owner: PasswordOwner): Promise<void> {
      const verdict = await rateLimiter.count(
        ...byNetworks(ctx.ip, { limit: LIMITS.passwordAdviceByNetwork }),
      )
      ctx.type = 'json'
      if (verdict.outcome === 'refused') {
        answerThrottled(ctx, verdict.retryAfterSeconds)
        ctx.body = { error: 'too_many_requests' }
        return
      }
      const fault = await rules.check(passwordIn(ctx), owner)
      ctx.body = { advice: fault ? views.words(ctx).t(`password.fault.${fault.code}`, { ...fault }) : '' }
    },
  }
}

const passwordIn = (ctx: Context): string => formOf(ctx).get('new_password') ?? ''

export function isRefused(result: string | Hash | RefusedPassword): result is RefusedPassword {
  return typeof result === 'object'
}

/** Sets the status of the response, and returns the error that the page shows. */
export function answerRefused(ctx: Context, refused: RefusedPassword): RefusedPassword {
  if (refused.error === 'throttled') answerThrottled(ctx, refused.retryAfterSeconds)
  else if (refused.error === 'busy') answerBusy(ctx)
  else ctx.status = 400
  return refused
}
