import pg from 'pg'
import { vi } from 'vitest'

/** Arguments for Node by which a process believes that the clock of its machine is so far ahead. */
export function shiftClock(seconds: number): string[] {
  const module = new URL('shifted-clock.ts', import.meta.url)
  module.searchParams.set('seconds', String(seconds))
  return seconds === 0 ? [] : ['--import', module.href]
}

/** The databases whose clock {@link later} moves, and a connection to each. */
const movableClocks = new Map<string, Promise<pg.Client>>()

/** From now on {@link later} moves the clock of this database, too. */
export function addMovableClock(url: string): void {
  movableClocks.set(url, connect(url))
}

export async function removeMovableClock(url: string): Promise<void> {
  const client = await movableClocks.get(url)
  movableClocks.delete(url)
  await client?.end()
}

/**
 * Gives a database a clock that can be moved: functions that stand before Postgres' own ones in the search path, which
 * {@link useMovableClock} sets. Done before the migrations, so that defaults of columns go by it, too.
 */
export const MOVABLE_CLOCK = [
  'create schema test_clock',
  'create table test_clock.setting (ahead_seconds float8 not null, stopped_at timestamptz)',
  'insert into test_clock.setting values (0, null)',
  ...['now', 'clock_timestamp'].map(
    (name) => `create function test_clock.${name}() returns timestamptz language sql stable as
      'select coalesce(stopped_at, pg_catalog.${name}() + make_interval(secs => ahead_seconds)) from test_clock.setting'`,
  ),
]

/** The setting belongs to one database and is not copied with a template. */
export function useMovableClock(database: string): string {
  return `alter database ${database} set search_path = public, test_clock, pg_catalog`
}

/**
 * Does something when this much time has passed: by the clock of the machine, which the server in this process reads,
 * and by the clock of the database. Both go on from there as fast as any clock, however busy the machine is. (The
 * embedded database reads the clock of this process.)
 */
export function later<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  return withClocks({ aheadSeconds: seconds }, () => RealDate.now() + seconds * 1000, work)
}

/** Does something at an instant at which all clocks stand still: as exact as the test wants, however busy the machine is. */
export function at<T>(instant: Date, work: () => Promise<T>): Promise<T> {
  const stoppedAt = performance.now()
  vi.stubGlobal('performance', { now: () => stoppedAt })
  return withClocks({ stoppedAt: instant }, () => instant.getTime(), work)
}

type Setting = { aheadSeconds?: number; stoppedAt?: Date }

async function withClocks<T>(setting: Setting, now: () => number, work: () => Promise<T>): Promise<T> {
  await setDatabases(setting)
  vi.stubGlobal(
    'Date',
    new Proxy(RealDate, {
      construct: (target, values) => Reflect.construct(target, values.length > 0 ? values : [now()]),
      get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
    }),
  )
  try {
    return await work()
  } finally {
    vi.unstubAllGlobals()
    await setDatabases({})
  }
}

async function setDatabases({ aheadSeconds = 0, stoppedAt }: Setting): Promise<void> {
  const clients = await Promise.all(movableClocks.values())
  await Promise.all(
    clients.map((client) =>
      client.query('update test_clock.setting set ahead_seconds = $1, stopped_at = $2', [
        aheadSeconds,
        stoppedAt?.toISOString() ?? null,
      ]),
    ),
  )
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  await client.connect()
  return client
}

const RealDate = Date
