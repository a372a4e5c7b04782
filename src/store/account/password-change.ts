import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { Database } from '../../db/connections.ts'
import { insertMail, type NewMail } from '../outbox/mail.ts'
import type { RevocationCause, Revocations } from '../revocation/revocation.ts'

export type PasswordChange = Readonly<{
  cause: RevocationCause
  event?: NewEvent
  /** The session in which the person changes it; this session goes on. */
  exceptSessionUid?: string
  /** Mail that informs the person. */
  mail?: readonly NewMail[]
  /** The access epoch under which the person requested it; undefined for an operator. */
  accessEpoch?: number
}>

type NewPassword = PasswordChange & Readonly<{ sub: string; passwordHash: string }>

/**
 * Replaces a password and revokes every session and grant, in a transaction.
 *
 * @returns the new access epoch; undefined when there is no such account, or its epoch was raised since the change was
 *   requested.
 */
export async function replacePassword(
  transaction: Database,
  revocations: Revocations,
  { sub, passwordHash, cause, event, exceptSessionUid, mail = [], accessEpoch }: NewPassword,
): Promise<number | undefined> {
  let update = transaction
    .updateTable('account')
    .set({ password_hash: passwordHash, updated_at: sql<Date>`now()` })
    .where('sub', '=', sub)
  if (accessEpoch !== undefined) update = update.where('access_epoch', '=', accessEpoch)
  const { numUpdatedRows } = await update.executeTakeFirst()
  if (numUpdatedRows === 0n) return undefined
  const revocation = { accountSub: sub, cause, event, exceptSessionUid }
  const { accessEpoch: raised } = await revocations.revokeAccount(transaction, revocation)
  await insertMail(transaction, mail)
  return raised
}
