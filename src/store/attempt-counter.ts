import type { Database } from '../db/connections.ts'
import { expiredRowsOf } from '../db/expired-rows.ts'
import { columnsOf, prepareStatement } from '../db/prepared-statement.ts'

export type Attempt = Readonly<{
  /** A keyed hash of the limit's name and of the network, name or account. */
  key: Uint8Array
  /** Attempts that a window allows. */
  most: number
  windowSeconds: number
  /** Whether an allowed attempt delays the next one, longer each time. */
  isDelayed: boolean
}>

/** The count of one limit after an attempt. */
export type Count = Readonly<{
  key: Uint8Array
  /** Allowed attempts in this window, including this one. */
  count: number
  /** Refused attempts since the last allowed one; 0 when this one was allowed. */
  refused: number
  /** Until another attempt is allowed. */
  waitSeconds: number
}>

type Settlement = Readonly<{ giveBack?: readonly Uint8Array[]; forget?: readonly Uint8Array[] }>

/** The most stages of an attempt: for a mail three networks of IPv6, the address, the account, and the total. */
const MOST_STAGES = 6

export type AttemptCounter = ReturnType<typeof createAttemptCounter>

/** Counts attempts of all instances in the database, by its clock. Concurrent attempts are never lost. */
export function createAttemptCounter(database: Database) {
  return {
    /**
     * Counts an attempt in one statement, stage after stage. A refusal at one stage leaves later stages uncounted, so a
     * refused requester uses up nothing of others.
     *
     * @param stages at most {@link MOST_STAGES}; an empty one counts nothing.
     */
    async count(stages: readonly (readonly Attempt[])[]): Promise<Count[]> {
      const counting = stages.filter((attempts) => attempts.length > 0)
      const statement = countAttempts[counting.length - 1]
      if (!statement) throw new Error(`attempts are counted in 1 to ${MOST_STAGES} stages`)
      const tried = counting.flatMap((attempts, index) =>
        attempts.map((attempt) => ({ ...attempt, stage: index + 1 })),
      )
      return await statement(
        database,
        columnsOf(
          tried,
          ({ key }) => key,
          ({ most }) => most,
          ({ windowSeconds }) => windowSeconds,
          ({ isDelayed }) => isDelayed,
          ({ stage }) => stage,
        ),
      )
    },

    /**
     * Corrects counts after an attempt.
     *
     * @param giveBack limits that count one attempt less, and whose wait is over, in the order of counting.
     * @param forget limits that start afresh; in the order of counting after those of `giveBack`.
     */
    async settle({ giveBack = [], forget = [] }: Settlement): Promise<void> {
      await settleAttempts(database, [giveBack, forget])
    },

    ...expiredRowsOf(database, 'attempt'),
  }
}

/** The delay after a number of attempts (Kanidm's soft lock): short for a person, long for a program. */
const DELAY_SECONDS = (count: string) =>
  `case when ${count} < 3 then 1 when ${count} < 9 then 3 when ${count} < 25 then 5 else 10 end`

/** No wait. Not `now()`: a statement that began earlier would read a later `now()` as a wait. */
const AT_ONCE = `'epoch'::timestamptz`
const IS_OVER = 'kept.expires_at <= now()'
/** Within a window, used up or too soon after the last attempt. */
const IS_REFUSED = `(kept.expires_at > now() and (kept.count >= excluded.most or kept.next_at > now()))`
const NEXT_COUNT = `(case when ${IS_OVER} then 1 else kept.count + 1 end)`

/** Locks rows in the order of the limits, so that two statements never deadlock. */
const upsert = (stage: number, condition = 'true') => `
      insert into attempt as kept (key, count, most, refused, next_at, expires_at)
      select key, 1, most, 0, case when is_delayed then now() + make_interval(secs => ${DELAY_SECONDS('1')}) else ${AT_ONCE} end,
        now() + make_interval(secs => window_seconds)
      from tried where stage = ${stage} and ${condition} order by position
      on conflict (key) do update set
        count = case when ${IS_REFUSED} then kept.count else ${NEXT_COUNT} end,
        most = excluded.most,
        refused = case when ${IS_REFUSED} then kept.refused + 1 else 0 end,
        next_at = case
          when ${IS_REFUSED} then kept.next_at
          when excluded.next_at > now() then now() + make_interval(secs => ${DELAY_SECONDS(NEXT_COUNT)})
          else ${AT_ONCE} end,
        expires_at = case when ${IS_OVER} then excluded.expires_at else kept.expires_at end
      returning key, count, refused,
        ceil(extract(epoch from case when count >= most then expires_at else next_at end - now()))::int as wait_seconds`

const nameOf = (stage: number) => `stage_${stage}`

/** CTEs in sequence: PostgreSQL runs them in the order in which they read each other. */
const countIn = (stages: readonly number[]): string => {
  const upserts = stages.map((stage) => {
    const before = stages.slice(0, stage - 1)
    const isReached = before.map((earlier) => `not exists (select from ${nameOf(earlier)} where refused > 0)`)
    return `${nameOf(stage)} as (${upsert(stage, isReached.join(' and ') || undefined)}
    )`
  })
  return `with tried as (
      select * from unnest($1::bytea[], $2::int[], $3::int[], $4::boolean[], $5::int[])
        with ordinality as tried (key, most, window_seconds, is_delayed, stage, position)
    ), ${upserts.join(', ')}
    select key, count, refused, greatest(wait_seconds, 0) as "waitSeconds"
    from (${stages.map((stage) => `select * from ${nameOf(stage)}`).join(' union all ')}) as counted`
}

/** One statement per number of stages. */
const countAttempts = Array.from({ length: MOST_STAGES }, (_, index) =>
  prepareStatement<Count>(
    `attempt_count_${index + 1}`,
    countIn(Array.from({ length: index + 1 }, (_stage, before) => before + 1)),
  ),
)

/** Updates the locked, latest count, so that concurrent attempts are not lost. */
const settleAttempts = prepareStatement(
  'attempt_settle',
  `with kept as materialized (
      select key, count from attempt
      join unnest($1::bytea[] || $2::bytea[]) with ordinality as settled (key, position) using (key)
      order by position for update of attempt
    ), given_back as (
      update attempt set count = kept.count - 1, next_at = ${AT_ONCE}
      from kept where attempt.key = kept.key and kept.key = any($1) and kept.count > 1
    )
    delete from attempt using kept
    where attempt.key = kept.key and (kept.key = any($2) or (kept.key = any($1) and kept.count <= 1))`,
)
