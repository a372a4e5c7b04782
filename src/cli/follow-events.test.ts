import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import type { EventDocument } from '../admin/events.ts'
import { HolderGoneError } from '../admin/socket.ts'
import { followEvents, positionNow } from './follow-events.ts'

/** Reads of the log per step: those of two pages, and one more. */
const READS_PER_STEP = 5
const START = Date.parse('2026-11-03T09:00:00Z')

afterEach(() => vi.useRealTimers())

/** An event log in memory, its reader, and a clock that the test sets. */
function createEventLog() {
  vi.useFakeTimers({ toFake: ['Date'], now: START })
  let count = 0
  let reads = 0
  let failure: Error | undefined
  let mostPages = Number.POSITIVE_INFINITY
  const events: EventDocument[] = []
  const shown: string[] = []
  const reported: string[] = []
  const stopping = new AbortController()

  async function list(input: Record<string, unknown>): Promise<EventDocument[]> {
    reads++
    if (failure || mostPages <= 0) throw failure ?? new Error('cut off')
    mostPages--
    const { since, after, limit } = input as { since: string; after: string; limit: number }
    const first = idAt(Date.parse(since), 0)
    return events
      .filter(({ id }) => id >= first && id > after)
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit)
  }

  const log = { list, now: async () => new Date() }
  return {
    log,
    shown,
    reported,
    /** @param madeAt seconds after the start at which the event was created; it is committed now. */
    add(request: string, madeAt: number) {
      const id = idAt(START + madeAt * 1000, ++count)
      events.push({ id, occurred_at: new Date().toISOString(), type: 'session.created', request })
    },
    fail(error?: Error) {
      failure = error
    },
    failAfter(pages: number) {
      mostPages = pages
    },
    async at(seconds: number) {
      vi.setSystemTime(START + seconds * 1000)
      const enough = reads + READS_PER_STEP
      while (reads < enough) await turn()
    },
    follow: (start: Parameters<typeof followEvents>[1]['start']) =>
      followEvents(log, {
        filter: {},
        start,
        signal: stopping.signal,
        show: (page) => shown.push(...page.map(({ request = '' }) => request)),
        report: (text) => reported.push(text),
        pollMilliseconds: 0,
      }),
    stop: () => stopping.abort(),
  }
}

function idAt(milliseconds: number, count: number): string {
  const time = milliseconds.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${String(count).padStart(12, '0')}`
}

test('follows events, each once, also one that is committed late', async () => {
  const eventLog = createEventLog()
  eventLog.add('before', -5)
  const following = eventLog.follow(await positionNow(eventLog.log, {}))
  eventLog.add('first', 1)
  await eventLog.at(2)
  eventLog.add('late', -1)
  await eventLog.at(25)
  eventLog.add('later still', 3)
  await eventLog.at(300)
  eventLog.add('last', 300)
  await eventLog.at(301)
  eventLog.stop()
  await following
  expect(eventLog.shown).toEqual(['first', 'late', 'later still', 'last'])
})

test('continues after an outage of the database without missing an event', async () => {
  const eventLog = createEventLog()
  const following = eventLog.follow(await positionNow(eventLog.log, {}))
  eventLog.add('first', 0)
  await eventLog.at(1)
  eventLog.fail(new Error('connection refused'))
  await eventLog.at(2)
  eventLog.add('meanwhile', 60)
  await eventLog.at(3600)
  eventLog.fail(new HolderGoneError('it ended'))
  await eventLog.at(3601)
  eventLog.fail()
  await eventLog.at(3602)
  eventLog.stop()
  await following
  expect(eventLog.shown).toEqual(['first', 'meanwhile'])
  expect(eventLog.reported).toEqual([
    'Waiting for the database: connection refused',
    'Waiting for the database: no server is running',
    'The database answers again.',
  ])
})

test('repeats a read that failed half-way, without showing its events again', async () => {
  const eventLog = createEventLog()
  for (let number = 0; number < 1500; number++) eventLog.add(String(number), -3600)
  eventLog.failAfter(1)
  const following = eventLog.follow({ from: new Date(START - 7_200_000), known: new Set() })
  await eventLog.at(1)
  expect(eventLog.shown).toHaveLength(1000)
  eventLog.failAfter(100)
  await eventLog.at(2)
  eventLog.stop()
  await following
  expect(eventLog.shown).toHaveLength(1500)
  expect(new Set(eventLog.shown).size).toBe(1500)
})
