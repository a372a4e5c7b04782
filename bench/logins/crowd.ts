import { setTimeout as pause } from 'node:timers/promises'
import { Agent, request } from 'undici'
import type { Person, Target } from '../contenders/contender.ts'
import { forwardedFor } from '../load/client-address.ts'
import { authorizePath } from '../load/requests.ts'
import { percentile } from '../report/statistics.ts'
import type { Crowd, Faults } from './result.ts'

const CSRF = /name="csrf" value="([^"]+)"/
const FAULT_CHARACTERS = 300
const RETRY_MILLISECONDS = 2_000

type Form = Readonly<{ path: string; cookie: string; csrf: string }>

/**
 * Signs many people in at the same time, each with a browser and an address: opens the page, sends the form, and retries
 * after `Retry-After`. Each person starts again after a sign-in.
 *
 * @param firstPerson the index of the crowd's first person among those of the target.
 */
export async function runCrowd(
  target: Target,
  { firstPerson, seconds }: { firstPerson: number; seconds: number },
): Promise<Crowd & Faults> {
  const people = target.people.slice(firstPerson)
  const agent = new Agent({ connections: people.length, pipelining: 1 })
  const counts = { accepted: 0, busy: 0, throttled: 0 }
  const waits: number[] = []
  const faults: string[] = []
  const startedAt = performance.now()
  const endAt = startedAt + seconds * 1000
  const isOver = () => performance.now() >= endAt

  async function ask(path: string, headers: Record<string, string>, body?: string) {
    const answer = await request(new URL(path, target.origin), {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      body: body ?? null,
      dispatcher: agent,
    })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  }

  /** @returns undefined when the page is answered with 503. */
  async function openForm(person: Person, from: Record<string, string>): Promise<Form | undefined> {
    const headers = { ...from, accept: 'text/html' }
    const asked = await ask(authorizePath(target, person), headers)
    const path = String(asked.headers.location)
    const cookie = [asked.headers['set-cookie'] ?? []]
      .flat()
      .map((line) => line.split(';')[0])
      .join('; ')
    const page = await ask(path, { ...headers, cookie })
    const csrf = CSRF.exec(page.text)?.[1]
    if (page.status === 503) return undefined
    if (csrf === undefined) throw new Error(`no form: ${asked.status}, ${page.status} ${page.text}`)
    return { path, cookie, csrf }
  }

  /** Sends the form until the sign-in is accepted, or the time is over. */
  async function signIn(
    person: Person,
    from: Record<string, string>,
    { path, cookie, csrf }: Form,
  ): Promise<void> {
    const body = new URLSearchParams({ csrf, ...person }).toString()
    const headers = {
      ...from,
      accept: 'text/html',
      'content-type': 'application/x-www-form-urlencoded',
      cookie,
      origin: target.origin,
      'sec-fetch-site': 'same-origin',
    }
    while (!isOver()) {
      const sentAt = performance.now()
      const answer = await ask(path, headers, body)
      if (answer.status === 303) {
        counts.accepted++
        waits.push(performance.now() - sentAt)
        return
      }
      if (answer.status !== 503 && answer.status !== 429) throw new Error(`${answer.status} ${answer.text}`)
      counts[answer.status === 503 ? 'busy' : 'throttled']++
      const retryAfter = Number(answer.headers['retry-after'])
      if (!(retryAfter > 0)) throw new Error(`${answer.status} has no Retry-After`)
      await pause(Math.min(retryAfter * 1000, Math.max(0, endAt - performance.now())))
    }
  }

  async function waitForPage(): Promise<void> {
    counts.busy++
    await pause(Math.min(RETRY_MILLISECONDS, Math.max(0, endAt - performance.now())))
  }

  await Promise.all(
    people.map(async (person, index) => {
      const from = forwardedFor(firstPerson + index)
      while (!isOver())
        try {
          const form = await openForm(person, from)
          if (form) await signIn(person, from, form)
          else await waitForPage()
        } catch (error) {
          faults.push(String(error).slice(0, FAULT_CHARACTERS))
        }
    }),
  )
  await agent.close()
  const sorted = Float64Array.from(waits).sort()
  return {
    ...counts,
    seconds: (performance.now() - startedAt) / 1000,
    acceptedP50Milliseconds: percentile(sorted, 0.5),
    acceptedP99Milliseconds: percentile(sorted, 0.99),
    faults: faults.length,
    firstFault: faults[0],
  }
}
