import { tokensOf } from './code-flow.ts'
import type { Mark, Oracle } from './oracle.ts'
import type { Fault, Point, Road } from './road.ts'
import type { GrantInUse, TokenRequest } from './token-grants.ts'
import { type Answer, exchange, INSIDE } from './wire.ts'

/** Where a token request goes wrong. */
export type Mishap = Readonly<{
  /** The server that it is sent to, on the other side of the road. */
  at: string
  road: Road
  point: Point
  /** Which of the request's statements, from 1. */
  nth: number
  fault: Fault
  /** Has the server answer again if the fault ended it; the client then got no answer at all. */
  revive?: () => Promise<void>
}>

type Verdict = Readonly<{
  /** The statement that was struck; undefined when the request has fewer. */
  struck: string | undefined
  /** What went against the promise, in words. */
  complaints: readonly string[]
}>

/**
 * Sends a token request into a mishap, tries again as an honest client does, and judges what is left: no or one token
 * set, never half of one, never two; and the client gets somewhere.
 */
export async function tryWithMishap(grant: GrantInUse, oracle: Oracle, mishap: Mishap): Promise<Verdict> {
  const { at, road, point, nth, fault, revive } = mishap
  const complaints: string[] = []
  const complain = (text: string | undefined) => {
    if (text !== undefined) complaints.push(text)
  }
  const request = await grant.prepare()
  const mark = await oracle.mark()
  const trap = road.onStatement(point, fault, { nth })
  const first = await answerTo(request, at)
  trap.disarm()
  const [struck] = trap.struck()
  if (revive && struck !== undefined) await revive()
  else complain(whatIsWrongWith(first, { mayFail: struck !== undefined && fault.kind !== 'delay' }))

  let winner = success(first)
  if (winner) oracle.record(winner)
  complain(await halfDone(oracle, mark, request))
  if (!winner) {
    const second = await answerTo(request, at)
    winner = success(second)
    if (winner) oracle.record(winner)
    complain(await halfDone(oracle, mark, request))
    if (!winner) {
      if (grant.isRepeatable || !isRefusal(second)) complain(`the retry got ${inWords(second)}`)
      const third = await answerTo(await grant.prepare(), at)
      winner = success(third)
      if (winner) oracle.record(winner)
      else complain(`a fresh start got ${inWords(third)}`)
    } else complain(await orphans(oracle, mark))
  } else complain(await orphans(oracle, mark))

  if (winner) complain(await whatIsDeadOf(winner, grant, oracle, at))
  for (const lost of await oracle.lost()) complain(`a client's ${lost} is gone`)
  return { struck, complaints }
}

/** Tries it at every statement of the request: until the fault finds none to strike. */
export async function tryAtEveryStatement(
  grant: GrantInUse,
  oracle: Oracle,
  mishap: Omit<Mishap, 'nth'>,
): Promise<{ statements: number; complaints: string[] }> {
  const complaints: string[] = []
  for (let nth = 1; ; nth++) {
    const verdict = await tryWithMishap(grant, oracle, { ...mishap, nth })
    const where = verdict.struck === undefined ? 'without a fault' : `${nth} (${verdict.struck.slice(0, 60)})`
    complaints.push(...verdict.complaints.map((complaint) => `${where}: ${complaint}`))
    if (verdict.struck === undefined) return { statements: nth - 1, complaints }
  }
}

async function answerTo(request: TokenRequest, at: string): Promise<Answer | Error> {
  return await request.send(at).catch((error: unknown) => error as Error)
}

function success(answer: Answer | Error): Answer | undefined {
  return !(answer instanceof Error) && answer.status === 200 ? answer : undefined
}

function isRefusal(answer: Answer | Error): boolean {
  return !(answer instanceof Error) && answer.status === 400 && answer.body.error === 'invalid_grant'
}

function inWords(answer: Answer | Error): string {
  return answer instanceof Error
    ? `no answer (${answer.name}: ${answer.message})`
    : `${answer.status} ${answer.text.slice(0, 200)}`
}

/** RFC 9110 §15.6.4: what cannot be done now is 503, and says when to come back. */
export function whatIsWrongWith(
  answer: Answer | Error,
  { mayFail }: { mayFail: boolean },
): string | undefined {
  if (success(answer)) return undefined
  if (answer instanceof Error || !mayFail) return `got ${inWords(answer)}`
  const isHonest =
    answer.status === 503 &&
    answer.body.error === 'temporarily_unavailable' &&
    /^\d+$/.test(answer.headers.get('retry-after') ?? '') &&
    answer.headers.get('content-type')?.startsWith('application/json') &&
    !INSIDE.test(answer.text)
  return isHonest
    ? undefined
    : `got ${inWords(answer)} (Retry-After: ${answer.headers.get('retry-after') ?? 'none'})`
}

async function halfDone(oracle: Oracle, mark: Mark, { spends }: TokenRequest): Promise<string | undefined> {
  const { access, refresh } = await oracle.bornSince(mark)
  if (access !== refresh) return `half a set: ${access} access and ${refresh} refresh tokens`
  if (refresh > 1) return `${refresh} token sets`
  const isSpent = await oracle.isSpent(spends)
  if (isSpent && refresh === 0) return 'spent, and there are no tokens'
  if (!isSpent && refresh === 1) return 'tokens, and what they were given for can be used again'
  return undefined
}

async function orphans(oracle: Oracle, mark: Mark): Promise<string | undefined> {
  const { orphans } = await oracle.bornSince(mark)
  return orphans > 0 ? `${orphans} good tokens that no answer carried` : undefined
}

async function whatIsDeadOf(
  winner: Answer,
  grant: GrantInUse,
  oracle: Oracle,
  at: string,
): Promise<string | undefined> {
  const { accessToken, refreshToken } = tokensOf(winner)
  const userinfo = await exchange(`${at}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })
  if (userinfo.status !== 200) return `the access token is worth ${inWords(userinfo)}`
  const refreshed = await grant.refresh(refreshToken, at)
  if (refreshed.status !== 200) return `the refresh token is worth ${inWords(refreshed)}`
  oracle.record(refreshed)
  return undefined
}
