import { insertEventsOf } from '../../audit/event.ts'
import type { Database } from '../../db/connections.ts'
import { secondsFromNow } from '../../db/expired-rows.ts'
import { prepareCount, prepareStatement } from '../../db/prepared-statement.ts'
import { createPendingCount, nextAttempt } from './outbox.ts'

export type NewMail = Readonly<{
  /** Also its Message-ID, the same at each attempt. */
  id: string
  accountSub: string | undefined
  /** Recipient and text, sealed, because the text may hold a link. */
  sealedContent: Uint8Array
  /** How long the mail may still be sent, from now on. */
  seconds: number
}>

/** A mail that this worker has leased. */
export type DueMail = Readonly<{
  id: string
  sealedContent: Uint8Array
  createdAt: Date
  /** The number of attempts, this one included. */
  attempts: number
}>

export type MailStore = ReturnType<typeof createMailStore>

/** The outbox of mail. Rows are inserted in the transaction of the change that they announce, and deleted when sent. */
export function createMailStore(database: Database) {
  return {
    /** Leases mail that is due, as {@link createBackchannelLogoutStore} does. */
    claim: (most: number): Promise<DueMail[]> => claimDue(database, [most]),

    /** Deletes a mail that was sent, or that the mail server rejected for good. */
    async delete(id: string): Promise<void> {
      await deleteOne(database, [id])
    },

    /** Deletes mail that expired unsent, and records that. @returns the number of deleted rows, at most `limit`. */
    giveUp: (limit: number): Promise<number> => giveUpExpired(database, [limit]),

    countPending: createPendingCount(database, 'mail'),
  }
}

/** Inserts mail in the transaction of the change that it announces. */
export async function insertMail(transaction: Database, mail: readonly NewMail[]): Promise<void> {
  if (mail.length === 0) return
  const rows = mail.map(({ id, accountSub, sealedContent, seconds }) => ({
    id,
    account_sub: accountSub ?? null,
    sealed_content: sealedContent,
    expires_at: secondsFromNow(seconds),
  }))
  await transaction.insertInto('mail').values(rows).execute()
}

/** Longer than an attempt may take, so that no other worker leases the row meanwhile. */
const FIRST_PAUSE_SECONDS = 20

const claimDue = prepareStatement<DueMail>(
  'mail_claim',
  `with due as materialized (
      select id from mail where next_attempt_at <= now() and expires_at > now()
      order by next_attempt_at limit $1 for update skip locked
    )
    update mail set attempts = mail.attempts + 1, next_attempt_at = ${nextAttempt('mail.attempts', FIRST_PAUSE_SECONDS)}
    from due where mail.id = due.id
    returning mail.id, mail.sealed_content as "sealedContent", mail.created_at as "createdAt", mail.attempts`,
)

const deleteOne = prepareStatement('mail_delete', `delete from mail where id = $1`)

const giveUpExpired = prepareCount(
  'mail_give_up',
  `with deleted as (
      delete from mail where id in (
        select id from mail where expires_at < now() order by expires_at limit $1 for update skip locked
      ) returning account_sub, attempts
    ), recorded as (${insertEventsOf(
      'mail.given_up',
      { account_sub: 'account_sub', detail: `jsonb_build_object('attempts', attempts)` },
      'deleted where account_sub is not null',
    )})
    select count(*)::int as count from deleted`,
)
