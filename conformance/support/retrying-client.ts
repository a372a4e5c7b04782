import { setTimeout as pause } from 'node:timers/promises'
import { describeAnswer, findViolation, isRefusal } from './fault-injection.ts'
import type { Answer } from './http.ts'
import type { GrantInUse, TokenRequest } from './token-grants.ts'
import type { TokenInvariants } from './token-invariants.ts'

const PAUSE_MILLISECONDS = 50

/**
 * Sends a token request until it has tokens: again after a 503, afresh where the answer to a code was lost.
 *
 * @returns the answer with tokens, and how often it had to start afresh.
 * @throws when a server says something else, or `withinMilliseconds` have passed.
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

/** People who meet a page that says "not now" try again, too. */
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
