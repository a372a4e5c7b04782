import type { Database } from './database.ts'
import { expiryOf } from './expired.ts'
import { defineStatement } from './statement.ts'

export type RefreshAnswerStore = ReturnType<typeof createRefreshAnswerStore>

/** Answers to refreshes, sealed, for the seconds in which they are repeated. Written by the commit of the refresh. */
export function createRefreshAnswerStore(database: Database) {
  return {
    /** @param spentHash of the refresh token that was spent. */
    async find(spentHash: Uint8Array): Promise<Uint8Array | undefined> {
      const [row] = await findAnswer(database, [spentHash])
      return row?.sealed_answer
    },

    ...expiryOf(database, 'oidc_refresh_answer'),
  }
}

const findAnswer = defineStatement<{ sealed_answer: Uint8Array }>(
  'refresh_answer_find',
  'select sealed_answer from oidc_refresh_answer where id_hash = $1 and expires_at > now()',
)
