import { setTimeout as pause } from 'node:timers/promises'
import { describeAnswer, findViolation, isRefusal } from './fault-injection.ts'
import type { Answer } from './http.ts'
import type { GrantInUse, TokenRequest } from './token-grants.ts'
import type { TokenInvariants } from './token-invariants.ts'

const PAUSE_MILLISECONDS = 50

/**
 * Sends a token request until it succeeds: again after a 503, with a new grant after `invalid_grant` when the answer to
 * the first request was lost.
 *
 * @returns the successful answer, and how many new grants it took.
 * @throws for any other answer, and after `withinMilliseconds`.
 */
export async function getTokens(
  grant: GrantInUse,
  first: TokenRequest,
  {
    at,
    tokenInvariants,
    withinMilliseconds,
  }: {
    /** The URL of the server; a function acts as a load balancer over several instances. */
    at: string | (() => string)
    tokenInvariants: TokenInvariants
    withinMilliseconds: number
  },
): Promise<{ answer: Answer; startedAfresh: number }> {
  const deadline = Date.now() + withinMilliseconds
  let request = first
  for (let startedAfresh = 0; ; ) {
    const answer = await request.send(typeof at === 'string' ? at : at())
    if (answer.status === 200) {
      tokenInvariants.record(answer)
      return { answer, startedAfresh }
    }
    if (Date.now() > deadline) throw new Error(`no tokens in time, at last ${describeAnswer(answer)}`)
    if (isRefusal(answer) && !grant.isRepeatable) {
      request = await prepareAgain(grant, deadline)
      startedAfresh++
      continue
    }
    const wrong = findViolation(answer, { mayFail: true })
    if (wrong) throw new Error(wrong)
    await pause(PAUSE_MILLISECONDS)
  }
}

/** Gets a new grant; repeats failed attempts until the deadline. */
async function prepareAgain(grant: GrantInUse, deadline: number): Promise<TokenRequest> {
  for (;;) {
    try {
      return await grant.prepare()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await pause(PAUSE_MILLISECONDS)
    }
  }
}
