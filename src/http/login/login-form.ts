import { randomInt } from 'node:crypto'
import type { Context } from 'koa'
import { z } from 'zod'
import type { SignIn, VerifySignIn } from '../../accounts/sign-in.ts'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Log } from '../../log.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import { eventTypeOf, type Refusal } from '../../rate-limiting/sign-in-rate-limit.ts'
import type { Account } from '../../store/account/account.ts'
import type { Clock } from '../../time.ts'
import type { SignInError } from '../../ui/view-models.ts'
import type { DeviceCookies } from './device-cookie.ts'

/** Random, so that refused clients do not return at the same moment (jitter). */
const RETRY_AFTER_SECONDS = { least: 3, most: 8 }
const MAX_USERNAME_CHARACTERS = 256

const credentials = z.object({
  username: z.string().trim().min(1).max(MAX_USERNAME_CHARACTERS),
  password: z.string().min(1).max(4096),
})

/** The result of a submitted login form. A refusal has what the page shows again. */
export type LoginResult =
  | { outcome: 'accepted'; account: Account; at: Date; wantsRemembering: boolean }
  | { outcome: 'refused'; username: string; error: SignInError; wantsRemembering: boolean }

type EventSubject = { clientId: string | undefined; accountSub: string | undefined }

type Needs = {
  signIn: VerifySignIn
  browserSessions: BrowserSessions
  deviceCookies: DeviceCookies
  events: EventStore
  log: Log
  now: Clock
}
export type CheckLogin = ReturnType<typeof createLoginCheck>

/** Checks a submitted login form and records the result. A refusal sets the status of the response. */
export function createLoginCheck({ signIn, browserSessions, deviceCookies, events, log, now }: Needs) {
  /** Records the first refusal of a limit, not those that follow. */
  async function recordRefusal(
    ctx: Context,
    refusal: Refusal | undefined,
    about: EventSubject,
  ): Promise<void> {
    if (!refusal?.isFirst) return
    const detail = { limit: refusal.by.name }
    await events.record([newEvent(eventTypeOf(refusal), { ...about, detail }, originOf(ctx))])
  }

  /**
   * @param clientId of the client that requested the sign-in, if there is one.
   * @param options.username of the account, for a form without a field for it.
   * @param options.isForSession false when the password is only checked: the session limit does not apply.
   * @param options.isSpent the form was answered before: the attempt is counted and refused.
   */
  return async (
    ctx: Context,
    clientId: string | undefined,
    {
      username,
      isForSession = true,
      isSpent = false,
    }: { username?: string; isForSession?: boolean; isSpent?: boolean } = {},
  ): Promise<LoginResult> => {
    const form = formOf(ctx)
    const typed = (username ?? form.get('username') ?? '').slice(0, MAX_USERNAME_CHARACTERS)
    const wantsRemembering = form.has('remember')
    const parsed = credentials.safeParse({ username: typed, password: form.get('password') })
    const result = parsed.success
      ? await signIn({
          login: parsed.data.username,
          password: parsed.data.password,
          address: ctx.ip,
          deviceCookie: deviceCookies.find(ctx),
          isGone: () => ctx.req.socket.destroyed,
          isSpent,
        })
      : ({ outcome: 'invalid' } as const)
    const sub = subOf(result)
    if ('refusal' in result) await recordRefusal(ctx, result.refusal, { clientId, accountSub: sub })
    log[result.outcome === 'busy' ? 'warn' : 'info']({
      event: 'sign_in',
      request: ctx.state.requestId,
      client: clientId,
      address: ctx.ip,
      outcome: result.outcome,
      account: result.outcome === 'accepted' ? sub : undefined,
    })
    // The entered name is not recorded: people enter passwords in the wrong field.
    const about = { clientId, accountSub: sub }
    const refused = { outcome: 'refused', username: typed, wantsRemembering } as const
    switch (result.outcome) {
      case 'accepted':
        if (isForSession && (await browserSessions.isFull(ctx, result.account))) {
          const detail = { reason: 'session_limit' }
          await events.record([newEvent('sign_in.refused', { ...about, detail }, originOf(ctx))])
          ctx.status = 403
          return { ...refused, error: 'full' }
        }
        await events.record([newEvent('sign_in.accepted', about, originOf(ctx))])
        deviceCookies.issue(ctx, result.account)
        return { outcome: 'accepted', account: result.account, at: now(), wantsRemembering }
      case 'busy':
        answerBusy(ctx)
        return { ...refused, error: 'busy' }
      case 'throttled':
        ctx.status = 429
        ctx.set('Retry-After', String(result.retryAfterSeconds))
        return { ...refused, error: 'throttled' }
      case 'rejected':
        await events.record([newEvent('sign_in.refused', about, originOf(ctx))])
        ctx.status = 400
        return { ...refused, error: 'rejected' }
      case 'invalid':
        ctx.status = 400
        return { ...refused, error: 'invalid' }
    }
  }
}

/** The password queue is full: 503 with `Retry-After` (RFC 9110 §15.6.4). */
export function answerBusy(ctx: Context): void {
  ctx.status = 503
  ctx.set('Retry-After', String(randomInt(RETRY_AFTER_SECONDS.least, RETRY_AFTER_SECONDS.most + 1)))
}

function subOf(result: SignIn | { outcome: 'invalid' }): string | undefined {
  if (result.outcome === 'accepted') return result.account.sub
  return result.outcome === 'invalid' ? undefined : result.sub
}
