import type { Database } from './database.ts'
import { defineStatement } from './statement.ts'

/**
 * A part of statements that store what a person's proof of identity allows: the CTE `person` has a row while the account's
 * access epoch is the one of the proof. The lock lasts to the end of the transaction: a concurrent revocation of the person,
 * which raises the epoch, waits for it and then finds what was stored, or is waited for and its epoch is compared.
 *
 * Statements that use it lock the account before anything else, as the revocation does.
 *
 * @param sub the parameter that holds the account's identifier.
 * @param epoch the parameter that holds the epoch of the proof; null matches none.
 */
export const UNDER_EPOCH = (sub: string, epoch: string): string => `person as materialized (
      select 1 from account where sub = ${sub}::uuid and access_epoch = ${epoch}::int for share
    )`

/**
 * Locks an account for a change that somebody asked for under an access epoch.
 *
 * @returns false when the epoch was raised since: what was asked for is void.
 */
export async function lockUnderEpoch(
  transaction: Database,
  { sub, accessEpoch }: Readonly<{ sub: string; accessEpoch: number }>,
): Promise<boolean> {
  return (await lockAccount(transaction, [sub, accessEpoch])).length > 0
}

const lockAccount = defineStatement(
  'access_epoch_lock',
  'select 1 from account where sub = $1::uuid and access_epoch = $2::int for no key update',
)
