import { tokensOf } from './code-flow.ts'
import type { Fault, FaultProxy, Point } from './fault-proxy.ts'
import { type Answer, exchange, INSIDE } from './http.ts'
import type { GrantInUse, TokenRequest } from './token-grants.ts'
import type { Mark, TokenInvariants } from './token-invariants.ts'

const MOST_STATEMENTS = 50

/** Runs `work` with the fault injected. */
type WithFault = <Result>(
  work: () => Promise<Result>,
) => Promise<{ result: Result | Error; isAffected: boolean }>

/**
 * Repeats an attempt with the fault at its first statement, then at its second, until it has no further statement.
 *
 * @param attempt returns the violations of what must hold.
 */
export async function atEveryStatement(
  { faultProxy, point, fault }: { faultProxy: FaultProxy; point: Point; fault: Fault },
  attempt: (withFault: WithFault) => Promise<readonly string[]>,
): Promise<{ statements: number; violations: string[] }> {
  const violations: string[] = []
  for (let nth = 1; nth <= MOST_STATEMENTS; nth++) {
    let affected: string | undefined
    const said = await attempt(async (work) => {
      const injected = faultProxy.onStatement(point, fault, { nth })
      const result = await work().catch((error: unknown) => error as Error)
      injected.disarm()
      affected = injected.affected()[0]
      return { result, isAffected: affected !== undefined }
    })
    const where = affected === undefined ? 'without a fault' : `${nth} (${affected.slice(0, 60)})`
    violations.push(...said.map((violation) => `${where}: ${violation}`))
    if (affected === undefined) return { statements: nth - 1, violations }
  }
  return { statements: MOST_STATEMENTS, violations: [...violations, 'too many statements'] }
}

type Trial = Readonly<{
  grant: GrantInUse
  tokenInvariants: TokenInvariants
  /** The URL of the server behind the fault proxy. */
  at: string
  withFault: WithFault
  /** Whether clients must not notice the fault. */
  isHarmless?: boolean
  /** Starts the server again after a fault that ended it; the client then got no answer. */
  restart?: () => Promise<void>
}>

/**
 * Sends a token request during a fault and retries it as a well-behaved client does. Expects no or one complete token
 * set, never two, and tokens for the client in the end.
 *
 * @returns the violations.
 */
export async function checkTokenRequest({
  grant,
  tokenInvariants,
  at,
  withFault,
  isHarmless = false,
  restart,
}: Trial): Promise<string[]> {
  const violations: string[] = []
  const report = (text: string | undefined) => {
    if (text !== undefined) violations.push(text)
  }
  const request = await grant.prepare()
  const mark = await tokenInvariants.mark()
  const { result: first, isAffected } = await withFault(() => request.send(at))
  if (restart && isAffected) await restart()
  else report(findViolation(first, { mayFail: isAffected && !isHarmless }))

  const judge = async (answer: Answer | Error, when: string) => {
    const winner = success(answer)
    if (winner) tokenInvariants.record(winner)
    report(await findPartialSet(tokenInvariants, mark, request, when))
    if (winner) report(await orphans(tokenInvariants, mark))
    return winner
  }
  let winner = await judge(first, 'at once')
  if (!winner) {
    const second = await answerTo(request, at)
    winner = await judge(second, 'after the retry')
    if (!winner) {
      if (grant.isRepeatable || !isRefusal(second)) report(`the retry got ${describeAnswer(second)}`)
      const third = await answerTo(await grant.prepare(), at)
      winner = success(third)
      if (winner) tokenInvariants.record(winner)
      else report(`a fresh start got ${describeAnswer(third)}`)
    }
  }
  if (winner) report(await findDeadToken(winner, grant, tokenInvariants, at))
  for (const lost of await tokenInvariants.lost()) report(`a client's ${lost} is gone`)
  return violations
}

async function answerTo(request: TokenRequest, at: string): Promise<Answer | Error> {
  return await request.send(at).catch((error: unknown) => error as Error)
}

function success(answer: Answer | Error): Answer | undefined {
  return !(answer instanceof Error) && answer.status === 200 ? answer : undefined
}

export function isRefusal(answer: Answer | Error): boolean {
  return !(answer instanceof Error) && answer.status === 400 && answer.body.error === 'invalid_grant'
}

export function describeAnswer(answer: Answer | Error): string {
  return answer instanceof Error
    ? `no answer (${answer.name}: ${answer.message})`
    : `${answer.status} ${answer.text.slice(0, 200)}`
}

/** A failure must be a 503 with Retry-After (RFC 9110 §15.6.4). @returns the violation, if there is one. */
export function findViolation(answer: Answer | Error, { mayFail }: { mayFail: boolean }): string | undefined {
  if (success(answer)) return undefined
  if (answer instanceof Error || !mayFail) return `got ${describeAnswer(answer)}`
  const isHonest =
    answer.status === 503 &&
    answer.body.error === 'temporarily_unavailable' &&
    /^\d+$/.test(answer.headers.get('retry-after') ?? '') &&
    answer.headers.get('content-type')?.startsWith('application/json') &&
    !INSIDE.test(answer.text)
  return isHonest
    ? undefined
    : `got ${describeAnswer(answer)} (Retry-After: ${answer.headers.get('retry-after') ?? 'none'})`
}

async function findPartialSet(
  tokenInvariants: TokenInvariants,
  mark: Mark,
  { spends }: TokenRequest,
  when: string,
): Promise<string | undefined> {
  const { access, refresh } = await tokenInvariants.createdSince(mark)
  if (access !== refresh) return `${when} half a set: ${access} access and ${refresh} refresh tokens`
  if (refresh > 1) return `${when} ${refresh} token sets`
  const isSpent = await tokenInvariants.isSpent(spends)
  if (isSpent && refresh === 0) return `${when} spent, and there are no tokens`
  if (!isSpent && refresh === 1) return `${when} tokens, and what they were given for can be used again`
  return undefined
}

async function orphans(tokenInvariants: TokenInvariants, mark: Mark): Promise<string | undefined> {
  const { orphans } = await tokenInvariants.createdSince(mark)
  return orphans > 0 ? `${orphans} good tokens that no answer carried` : undefined
}

async function findDeadToken(
  winner: Answer,
  grant: GrantInUse,
  tokenInvariants: TokenInvariants,
  at: string,
): Promise<string | undefined> {
  const { accessToken, refreshToken } = tokensOf(winner)
  const userinfo = await exchange(`${at}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })
  if (userinfo.status !== 200) return `the access token is worth ${describeAnswer(userinfo)}`
  const refreshed = await grant.refresh(refreshToken, at)
  if (refreshed.status !== 200) return `the refresh token is worth ${describeAnswer(refreshed)}`
  tokenInvariants.record(refreshed)
  return undefined
}
