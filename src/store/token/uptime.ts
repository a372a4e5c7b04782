import { randomUUID } from 'node:crypto'
import type { Database } from '../../db/connections.ts'
import { columnsOf, prepareCount, prepareStatement } from '../../db/prepared-statement.ts'

/** An instance that missed this many beats counts as away. */
const MOST_MISSED_BEATS = 2
/** The least number of beats in the window of refresh replay. */
const BEATS_IN_WINDOW = 4
const LONGEST_BEAT_SECONDS = 1
/** How long clients may wait for a crashed instance to return; after that, the uptime of other instances counts. */
const GIVEN_UP_AFTER = `interval '5 minutes'`

/** The heartbeat of a process that runs and has the database. */
export type Heartbeat = Readonly<{ instance: string; everySeconds: number }>

/** A refresh answer that, as far as the instance that made it knows, the client did not receive. */
export type Undelivered = Readonly<{ spentHash: Uint8Array; commitId: string }>

type Beat = Readonly<{ undelivered: readonly Undelivered[]; repeatSeconds: number; isLeaving: boolean }>

export type UptimeStore = ReturnType<typeof createUptimeStore>

/** @param windowSeconds the shortest window that is measured; 0 when there is none. */
export function createHeartbeat(windowSeconds: number): Heartbeat {
  const everySeconds = Math.min(LONGEST_BEAT_SECONDS, (windowSeconds || Infinity) / BEATS_IN_WINDOW)
  return { instance: randomUUID(), everySeconds }
}

/**
 * The gap between beats from which an instance counts as away. Shorter than the window, so that a crash does not count
 * as uptime.
 */
export function toleranceOf({ everySeconds }: Heartbeat): number {
  return everySeconds * MOST_MISSED_BEATS
}

/**
 * Records when instances ran and had the database. A client cannot retry while they did not, so that time does not
 * count against the windows in which a duplicate is honest.
 */
export function createUptimeStore(database: Database, heartbeat: Heartbeat) {
  const toleranceSeconds = toleranceOf(heartbeat)
  return {
    /**
     * Records that this instance is up.
     *
     * @param undelivered answers that stay repeatable for `repeatSeconds` of its uptime, since their clients did not
     *   receive them.
     * @param isLeaving the instance stops after this beat, and has answered everything.
     * @returns the spent tokens of those answers whose commit exists.
     */
    async beat({ undelivered, repeatSeconds, isLeaving }: Beat): Promise<Uint8Array[]> {
      const rows = await beat(database, [
        heartbeat.instance,
        toleranceSeconds,
        isLeaving,
        ...columnsOf(
          undelivered,
          ({ spentHash }) => spentHash,
          ({ commitId }) => commitId,
        ),
        repeatSeconds,
      ])
      return rows.map(({ id_hash }) => id_hash)
    },

    /** Counts, of the last `lastSeconds`, those in which at least one instance was up. */
    secondsUp: (lastSeconds: number): Promise<number> =>
      countSecondsUp(database, [lastSeconds, toleranceSeconds]),
  }
}

const beat = prepareStatement<{ id_hash: Uint8Array }>(
  'uptime_beat',
  `with going_on as (
      update instance_uptime set beat_at = now(), has_left = $3::boolean
      where instance = $1::uuid and beat_at > now() - make_interval(secs => $2::float8)
      returning 1
    ), begun as (
      insert into instance_uptime (instance, began_at, beat_at, has_left)
      select $1::uuid, now(), now(), $3::boolean where not exists (select from going_on)
      on conflict (instance, began_at) do nothing
    ), forgotten as (
      delete from instance_uptime where beat_at < now() - interval '1 day' and not exists (select from going_on)
    )
    update oidc_refresh_answer as answer
    set expires_at = answer.expires_at + make_interval(secs => greatest($6::int - answer.repeat_seconds, 0)),
      repeat_seconds = greatest($6::int, answer.repeat_seconds)
    from unnest($4::bytea[], $5::uuid[]) as undelivered (spent_hash, commit_id)
      -- Otherwise another commit spent the token, and its answer was sent.
      join oidc_token as token on token.id_hash = undelivered.spent_hash and token.consumed_by = undelivered.commit_id
    -- When made_by names another instance, that one has repeated the answer since.
    where answer.id_hash = undelivered.spent_hash and answer.made_by = $1::uuid
    returning answer.id_hash`,
)

const countSecondsUp = prepareCount(
  'uptime_seconds',
  `select ${secondsIn(
    `select ${beganAt()} as began_at, ${endedAt('$2')} as ended_at from instance_uptime`,
    'now() - make_interval(secs => $1::float8)',
  )} as count`,
)

/**
 * SQL: the seconds since an instant in which an instance was up, and after its last beat, in which any other was.
 *
 * @param instance that was up at that instant.
 * @param tolerance see {@link toleranceOf}.
 */
export function secondsUpSince(instance: string, since: string, tolerance: string): string {
  const stretches = `
    select ${beganAt()} as began_at, ${endedAt(tolerance)} as ended_at from instance_uptime where instance = ${instance}
    union all
    select greatest(began_at, gone_at), ${endedAt(tolerance)}
    from instance_uptime cross join (
      select coalesce(max(beat_at) + case when bool_or(has_left) then interval '0' else ${GIVEN_UP_AFTER} end, '-infinity') as gone_at
      from instance_uptime where instance = ${instance}
    ) as departure
    where instance is distinct from ${instance}`
  return secondsIn(stretches, since)
}

/** SQL: the number of seconds since an instant that lie within any of the stretches. */
function secondsIn(stretches: string, since: string): string {
  return `(
    select coalesce(extract(epoch from sum(upper(up) - lower(up))), 0)::float8
    from unnest((
      select range_agg(tstzrange(began_at, ended_at)) from (${stretches}) as stretch where began_at < ended_at
    ) * tstzmultirange(tstzrange(least(${since}, now()), now()))) as up
  )`
}

/** SQL: the first stretch extends back without limit: a token can only have been spent while an instance was up. */
function beganAt(): string {
  return `case when began_at = min(began_at) over () then '-infinity' else began_at end`
}

function endedAt(tolerance: string): string {
  return `case when beat_at > now() - make_interval(secs => ${tolerance}::float8) then now() else beat_at end`
}
