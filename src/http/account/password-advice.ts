import type { Context } from 'koa'
import type { PasswordOwner, PasswordRules } from '../../accounts/password-rules.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { LIMITS } from '../../rate-limiting/limits.ts'
import { byNetworks, type RateLimiter } from '../../rate-limiting/rate-limiter.ts'
import type { Views } from '../pages/views.ts'

type Needs = { passwordRules: PasswordRules; rateLimiter: RateLimiter; views: Pick<Views, 'words'> }

export type AdviseOnPassword = ReturnType<typeof createPasswordAdvice>

/**
 * Says of the `new_password` of a form what is wrong with it, in the words of the page, while it is typed: the answer is
 * `{ "advice": "…" }`, empty when it may be chosen. Whoever mounts it checks the form's CSRF token first.
 */
export function createPasswordAdvice({ passwordRules, rateLimiter, views }: Needs) {
  return async (ctx: Context, owner: PasswordOwner): Promise<void> => {
    const verdict = await rateLimiter.count(...byNetworks(ctx.ip, { limit: LIMITS.passwordAdviceByNetwork }))
    ctx.type = 'json'
    if (verdict.outcome === 'refused') {
      ctx.status = 429
      ctx.set('Retry-After', String(verdict.retryAfterSeconds))
      ctx.body = { error: 'too_many_requests' }
      return
    }
    const fault = await passwordRules.judge(formOf(ctx).get('new_password') ?? '', owner)
    ctx.body = { advice: fault ? views.words(ctx).t(`password.fault.${fault.code}`, { ...fault }) : '' }
  }
}
