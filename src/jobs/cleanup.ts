import { setTimeout as pause } from 'node:timers/promises'
import type { ArtifactStore } from '../store/artifact.ts'
import type { GrantStore } from '../store/grant.ts'
import type { SessionStore } from '../store/session.ts'
import type { TokenStore } from '../store/token.ts'
import { type Clock, MINUTE_SECONDS } from '../time.ts'

/** Rows stay this long after they expired: the engine tells an expired code from an unknown one, and detects replays. */
const GRACE_SECONDS = 30 * MINUTE_SECONDS
const BATCH_ROWS = 500
const PAUSE_MILLISECONDS = 20

/** How many rows of each table had expired. */
export type CleanupReport = { grants: number; tokens: number; sessions: number; artifacts: number }

type Needs = {
  grants: GrantStore
  tokens: TokenStore
  sessions: SessionStore
  artifacts: ArtifactStore
  now: Clock
}

/** Deletes rows that expired, in small batches with pauses, so that nobody else waits for long. */
export function createCleanup({ grants, tokens, sessions, artifacts, now }: Needs) {
  // Tokens first: a grant's own deletion would cascade over all of its tokens in one statement.
  const tables = { tokens, sessions, artifacts, grants }

  return {
    async run(): Promise<CleanupReport> {
      return await forEachTable(async (table) => {
        let deleted = 0
        for (;;) {
          const batch = await table.deleteExpired(cutoff(), BATCH_ROWS)
          deleted += batch
          if (batch < BATCH_ROWS) return deleted
          await pause(PAUSE_MILLISECONDS)
        }
      })
    },

    /** What {@link run} would delete. */
    count: (): Promise<CleanupReport> => forEachTable((table) => table.countExpired(cutoff())),
  }

  function cutoff(): Date {
    return new Date(now().getTime() - GRACE_SECONDS * 1000)
  }

  async function forEachTable(
    work: (table: (typeof tables)[keyof typeof tables]) => Promise<number>,
  ): Promise<CleanupReport> {
    const report = { grants: 0, tokens: 0, sessions: 0, artifacts: 0 }
    for (const name of Object.keys(tables) as (keyof typeof tables)[]) report[name] = await work(tables[name])
    return report
  }
}

export type Cleanup = ReturnType<typeof createCleanup>
