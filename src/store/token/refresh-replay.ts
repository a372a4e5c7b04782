import type { Database } from '../../db/connections.ts'
import { type ExpiredRows, expiredRowsOf, secondsAgo } from '../../db/expired-rows.ts'
import { prepareCount, prepareStatement } from '../../db/prepared-statement.ts'
import { DAY_SECONDS } from '../../time.ts'
import { type Heartbeat, secondsUpSince, toleranceOf } from './uptime.ts'

/** The longest time that an answer is kept, whatever the length of an outage. */
const LONGEST_SECONDS = DAY_SECONDS

export type RefreshReplayStore = ReturnType<typeof createRefreshReplayStore>

/**
 * Refresh replay: the sealed answers to recent refreshes, which the same client gets again on a retry. The commit of the
 * refresh stores them (`token-commit.ts`).
 */
export function createRefreshReplayStore(database: Database, heartbeat: Heartbeat) {
  const toleranceSeconds = toleranceOf(heartbeat)
  return {
    /**
     * Finds the answer to a recent refresh.
     *
     * @param spentHash of the refresh token that was spent.
     */
    async find(spentHash: Uint8Array): Promise<Uint8Array | undefined> {
      const [row] = await findAnswer(database, [spentHash])
      return row?.sealed_answer
    },

    /**
     * Finds an older answer that may still be repeated: the instance that made it was not up for the whole window
     * since, or reported it as undelivered.
     */
    async findLate(spentHash: Uint8Array): Promise<Uint8Array | undefined> {
      const [row] = await findLateAnswer(database, [spentHash, toleranceSeconds, LONGEST_SECONDS])
      return row?.sealed_answer
    },

    /**
     * Records that this instance repeats an answer, so that the client has it: an undelivered answer stays repeatable
     * for `seconds` more, and the instance that made it can no longer report it as undelivered.
     *
     * @returns the commit of the answer; undefined when nothing had to be recorded.
     */
    async recordRepeat(spentHash: Uint8Array, seconds: number): Promise<string | undefined> {
      const [row] = await recordRepeat(database, [spentHash, heartbeat.instance, seconds, toleranceSeconds])
      return row?.consumed_by
    },

    ...answerExpiry(database, toleranceSeconds),
  }
}

/** Deletes answers that may no longer be repeated. */
function answerExpiry(database: Database, toleranceSeconds: number): ExpiredRows {
  return {
    ...expiredRowsOf(database, 'oidc_refresh_answer'),
    deleteExpired: (ageSeconds, limit) =>
      deleteAnswers(database, [ageSeconds, limit, toleranceSeconds, LONGEST_SECONDS]),
  }
}

const findAnswer = prepareStatement<{ sealed_answer: Uint8Array }>(
  'refresh_answer_find',
  'select sealed_answer from oidc_refresh_answer where id_hash = $1 and expires_at > now()',
)

const findLateAnswer = prepareStatement<{ sealed_answer: Uint8Array }>(
  'refresh_answer_find_late',
  `select answer.sealed_answer from oidc_refresh_answer as answer
      join oidc_token as token on token.id_hash = answer.id_hash
    where answer.id_hash = $1 and token.consumed_at > now() - make_interval(secs => $3::float8)
      and ${secondsUpSince('answer.made_by', 'token.consumed_at', '$2')} < answer.repeat_seconds`,
)

const recordRepeat = prepareStatement<{ consumed_by: string }>(
  'refresh_answer_record_repeat',
  `with repeat as (
      select answer.id_hash, token.consumed_by, answer.repeat_seconds > $3::int as was_undelivered,
        ceil(${secondsUpSince('$2::uuid', 'token.consumed_at', '$4')})::int + $3::int as seconds
      from oidc_refresh_answer as answer join oidc_token as token on token.id_hash = answer.id_hash
      -- Other late answers are repeated because their instance is away, which no client can cause.
      where answer.id_hash = $1 and (answer.repeat_seconds > $3::int or answer.expires_at > now())
    )
    update oidc_refresh_answer as answer
    set made_by = $2::uuid,
      expires_at = answer.expires_at - make_interval(secs => greatest(answer.repeat_seconds - repeat.seconds, 0)),
      repeat_seconds = least(answer.repeat_seconds, repeat.seconds)
    from repeat
    where answer.id_hash = repeat.id_hash and (repeat.was_undelivered or answer.made_by is distinct from $2::uuid)
    returning repeat.consumed_by`,
)

/** Checks first whether the instance was up all the time, the common case; measuring the uptime is slower. */
const deleteAnswers = prepareCount(
  'refresh_answer_delete_expired',
  `with deleted as (
      delete from oidc_refresh_answer where ctid = any(array(
        select answer.ctid
        from oidc_refresh_answer as answer
          cross join lateral (select answer.expires_at - make_interval(secs => answer.repeat_seconds) as made_at) as moment
        where answer.expires_at <= ${secondsAgo('$1')} and (
          exists (
            select from instance_uptime where instance = answer.made_by and began_at <= made_at
              and beat_at > now() - make_interval(secs => $3::float8)
          )
          or ${secondsUpSince('answer.made_by', 'made_at', '$3')} >= answer.repeat_seconds
          or made_at < now() - make_interval(secs => $4::float8)
        )
        order by answer.expires_at limit $2 for update of answer skip locked
      )) returning 1
    ) select count(*)::int as count from deleted`,
)
