import { randomInt } from 'node:crypto'
import type { Context } from 'koa'
import { z } from 'zod'
import type { SignIn, VerifySignIn } from '../../accounts/sign-in.ts'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { EventType } from '../../audit/event-type.ts'
import type { Log } from '../../log.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import { eventTypeOf } from '../../rate-limiting/sign-in-rate-limit.ts'
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
type LoginResult =
  | { outcome: 'accepted'; account: Account; at: Date; wantsRemembering: boolean }
  | { outcome: 'refused'; username: string; error: SignInError; wantsRemembering: boolean }

type Verified = SignIn | { outcome: 'invalid' }

type Needs = {
  signIn: VerifySignIn
  browserSessions: BrowserSessions
  deviceCookies: DeviceCookies
  events: EventStore
  log: Log
  now: Clock
}
export type CheckLogin = ReturnType<typeof createLoginCheck>

type Options = Readonly<{
  /** The account, for a form without a field for it. */
  username?: string
  /** False when the password is only checked: the session limit does not apply. */
  isForSession?: boolean
  /** The form was answered before: the attempt is counted and refused. */
  isSpent?: boolean
}>

/** Checks a submitted login form and records the result. A refusal sets the status of the response. */
export function createLoginCheck({ signIn, browserSessions, deviceCookies, events, log, now }: Needs) {
  /** @param clientId of the client that requested the sign-in, if there is one. */
  return async (
    ctx: Context,
    clientId: string | undefined,
    { username, isForSession = true, isSpent = false }: Options = {},
  ): Promise<LoginResult> => {
    const form = formOf(ctx)
    const login = (username ?? form.get('username') ?? '').slice(0, MAX_USERNAME_CHARACTERS)
    const wantsRemembering = form.has('remember')
    const result = await verify(ctx, { username: login, password: form.get('password') }, isSpent)
    logResult(ctx, clientId, result)
    const subject = { clientId, accountSub: subOf(result) }
    // The first refusal of a limit is recorded, not those that follow.
    if ('refusal' in result && result.refusal?.isFirst)
      await record(ctx, eventTypeOf(result.refusal), {
        ...subject,
        detail: { limit: result.refusal.by.name },
      })
    if (result.outcome !== 'accepted') {
      if (result.outcome === 'rejected') await record(ctx, 'sign_in.refused', subject)
      setStatus(ctx, result)
      return { outcome: 'refused', username: login, error: result.outcome, wantsRemembering }
    }
    const { account } = result
    if (isForSession && (await browserSessions.isFull(ctx, account))) {
      await record(ctx, 'sign_in.refused', { ...subject, detail: { reason: 'session_limit' } })
      ctx.status = 403
      return { outcome: 'refused', username: login, error: 'full', wantsRemembering }
    }
    await record(ctx, 'sign_in.accepted', subject)
    deviceCookies.issue(ctx, account)
    return { outcome: 'accepted', account, at: now(), wantsRemembering }
  }

  async function verify(ctx: Context, entered: unknown, isSpent: boolean): Promise<Verified> {
    const parsed = credentials.safeParse(entered)
    if (!parsed.success) return { outcome: 'invalid' }
    return await signIn({
      login: parsed.data.username,
      password: parsed.data.password,
      address: ctx.ip,
      deviceCookie: deviceCookies.find(ctx),
      isGone: () => ctx.req.socket.destroyed,
      isSpent,
    })
  }

  /** Without the entered name: people enter passwords in the wrong field. */
  function logResult(ctx: Context, client: string | undefined, result: Verified): void {
    log[result.outcome === 'busy' ? 'warn' : 'info']({
      event: 'sign_in',
      request: ctx.state.requestId,
      client,
      address: ctx.ip,
      outcome: result.outcome,
      account: result.outcome === 'accepted' ? result.account.sub : undefined,
    })
  }

  async function record(ctx: Context, type: EventType, about: Parameters<typeof newEvent>[1]): Promise<void> {
    await events.record([newEvent(type, about, originOf(ctx))])
  }
}

function setStatus(ctx: Context, result: Exclude<Verified, { outcome: 'accepted' }>): void {
  switch (result.outcome) {
    case 'busy':
      answerBusy(ctx)
      break
    case 'throttled':
      answerThrottled(ctx, result.retryAfterSeconds)
      break
    default:
      ctx.status = 400
  }
}

/** A rate limit was reached (RFC 6585 §4). */
export function answerThrottled(ctx: Context, retryAfterSeconds: number): void {
  ctx.status = 429
  ctx.set('Retry-After', String(retryAfterSeconds))
}

/** The password queue is full: 503 with `Retry-After` (RFC 9110 §15.6.4). */
export function answerBusy(ctx: Context): void {
  ctx.status = 503
  ctx.set('Retry-After', String(randomInt(RETRY_AFTER_SECONDS.least, RETRY_AFTER_SECONDS.most + 1)))
}

function subOf(result: Verified): string | undefined {
  if (result.outcome === 'accepted') return result.account.sub
  return result.outcome === 'invalid' ? undefined : result.sub
}
