import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import type { EventDocument } from '../admin/events.ts'
import { HolderGoneError } from '../admin/socket.ts'
import { followEvents, positionNow } from './follow-events.ts'

/** How often the record is asked before a moment is over: for as much as a look of two pages, and one more. */
const LOOKS = 5
const START = Date.parse('2026-11-03T09:00:00Z')

afterEach(() => vi.useRealTimers())

/** A record of events, and one who follows it; time is told. */
function createRecord() {
  vi.useFakeTimers({ toFake: ['Date'], now: START })
  let count = 0
  let asked = 0
  let failure: Error | undefined
  let mostPages = Number.POSITIVE_INFINITY
  const events: EventDocument[] = []
  const shown: string[] = []
  const told: string[] = []
  const stopping = new AbortController()

  async function list(input: Record<string, unknown>): Promise<EventDocument[]> {
    asked++
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
    told,
    /** @param madeAt seconds after the start at which its request made it; it is committed now. */
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
      const enough = asked + LOOKS
      while (asked < enough) await turn()
    },
    follow: (start: Parameters<typeof followEvents>[1]['start']) =>
      followEvents(log, {
        filter: {},
        start,
        signal: stopping.signal,
        show: (page) => shown.push(...page.map(({ request = '' }) => request)),
        tell: (text) => told.push(text),
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
  const record = createRecord()
  record.add('before', -5)
  const following = record.follow(await positionNow(record.log, {}))
  record.add('first', 1)
  await record.at(2)
  record.add('late', -1)
  await record.at(25)
  record.add('later still', 3)
  await record.at(300)
  record.add('last', 300)
  await record.at(301)
  record.stop()
  await following
  expect(record.shown).toEqual(['first', 'late', 'later still', 'last'])
})

test('continues after an outage of the database without missing an event', async () => {
  const record = createRecord()
  const following = record.follow(await positionNow(record.log, {}))
  record.add('first', 0)
  await record.at(1)
  record.fail(new Error('connection refused'))
  await record.at(2)
  record.add('meanwhile', 60)
  await record.at(3600)
  record.fail(new HolderGoneError('it ended'))
  await record.at(3601)
  record.fail()
  await record.at(3602)
  record.stop()
  await following
  expect(record.shown).toEqual(['first', 'meanwhile'])
  expect(record.told).toEqual([
    'Waiting for the database: connection refused',
    'Waiting for the database: no server is running',
    'The database answers again.',
  ])
})

test('repeats a read that failed half-way, without showing its events again', async () => {
  const record = createRecord()
  for (let number = 0; number < 1500; number++) record.add(String(number), -3600)
  record.failAfter(1)
  const following = record.follow({ from: new Date(START - 7_200_000), known: new Set() })
  await record.at(1)
  expect(record.shown).toHaveLength(1000)
  record.failAfter(100)
  await record.at(2)
  record.stop()
  await following
  expect(record.shown).toHaveLength(1500)
  expect(new Set(record.shown).size).toBe(1500)
})
