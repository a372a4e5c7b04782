import type { Context } from 'koa'
import type { PasswordHasher, PasswordQueue } from '../../accounts/password.ts'
import { type PasswordOwner, PasswordRuleError, type PasswordRules } from '../../accounts/password-rules.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { LIMITS } from '../../rate-limiting/limits.ts'
import { widestNetworkOf } from '../../rate-limiting/network.ts'
import { byNetworks, type RateLimiter } from '../../rate-limiting/rate-limiter.ts'
import type { PasswordFault } from '../../ui/view-models.ts'
import { answerBusy, answerThrottled } from '../login/login-form.ts'
import type { Views } from '../pages/views.ts'

/** The rate limit of new passwords for this network or this link was reached. */
class TooManyNewPasswordsError extends Error {
  override name = 'TooManyNewPasswordsError'
  readonly retryAfterSeconds: number
  constructor(retryAfterSeconds: number) {
    super('too many new passwords')
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** No place in the password queue, or too long a wait (503). */
class NoPlaceError extends Error {
  override name = 'NoPlaceError'
}

export type RefusedPassword = PasswordRuleError | NoPlaceError | TooManyNewPasswordsError

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
    async admit(ctx: Context, of: string | undefined): Promise<Hash | TooManyNewPasswordsError> {
      const networks = byNetworks(ctx.ip, { limit: LIMITS.newPasswordByNetwork })
      const link = of === undefined ? [] : [{ limit: LIMITS.newPasswordByLink, of }]
      const verdict = await rateLimiter.count(...networks, link)
      if (verdict.outcome === 'refused') return new TooManyNewPasswordsError(verdict.retryAfterSeconds)
      return async (owner) => {
        try {
          const password = await rules.parse(passwordIn(ctx), owner)
          const isGone = () => ctx.req.socket.destroyed
          const place = { network: widestNetworkOf(ctx.ip), path: ['new password'], isGone }
          const queued = await queue.run(place, () => hasher.hash(password))
          return queued.outcome === 'done' ? queued.result : new NoPlaceError('too many passwords wait')
        } catch (error) {
          if (isRefused(error)) return error
          throw error
        }
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

export function isRefused(value: unknown): value is RefusedPassword {
  return (
    value instanceof PasswordRuleError ||
    value instanceof NoPlaceError ||
    value instanceof TooManyNewPasswordsError
  )
}

/** Sets the status of the response, and returns the error that the page shows. */
export function answerRefused(
  ctx: Context,
  refused: RefusedPassword,
): { error: 'rule'; rule: PasswordFault } | { error: 'busy' | 'throttled'; rule: undefined } {
  if (refused instanceof PasswordRuleError) {
    ctx.status = 400
    return { error: 'rule', rule: refused.fault }
  }
  if (refused instanceof TooManyNewPasswordsError) {
    answerThrottled(ctx, refused.retryAfterSeconds)
    return { error: 'throttled', rule: undefined }
  }
  answerBusy(ctx)
  return { error: 'busy', rule: undefined }
}
