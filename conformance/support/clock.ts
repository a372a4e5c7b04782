import pg from 'pg'
import { vi } from 'vitest'

/** Node arguments that shift the wall clock of a process ahead. */
export function shiftClock(seconds: number): string[] {
  const module = new URL('shifted-clock.ts', import.meta.url)
  module.searchParams.set('seconds', String(seconds))
  return seconds === 0 ? [] : ['--import', module.href]
}

/** A connection to each database whose clock {@link later} moves, by URL. */
const movableClocks = new Map<string, Promise<pg.Client>>()

/** Makes {@link later} also move the clock of this database. */
export function addMovableClock(url: string): void {
  movableClocks.set(url, connect(url))
}

export async function removeMovableClock(url: string): Promise<void> {
  const client = await movableClocks.get(url)
  movableClocks.delete(url)
  await client?.end()
}

/**
 * SQL that gives a database a movable clock: functions that precede those of Postgres in the search path that {@link
 * useMovableClock} sets. It must run before the migrations, so that column defaults use the clock, too.
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

/** SQL that sets the search path of a database. A copy of a template does not inherit the setting. */
export function useMovableClock(database: string): string {
  return `alter database ${database} set search_path = public, test_clock, pg_catalog`
}

/**
 * Runs `work` with the clocks of this process and of the databases moved ahead. The server reads the clock of this
 * process, and so does the embedded database. The clocks keep running at normal speed.
 */
export function later<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  return withClocks({ aheadSeconds: seconds }, () => RealDate.now() + seconds * 1000, work)
}

/** Runs `work` while the clock of this process, not of Postgres, is wrong by so many seconds (Postgres only). */
export function withWrongClock<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  return withClocks({}, () => RealDate.now() + seconds * 1000, work)
}

/** Runs `work` with all clocks frozen at an instant, which makes it exact on a busy machine. */
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
