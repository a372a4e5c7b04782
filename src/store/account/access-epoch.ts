import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { Account } from './account.ts'

/** An account with the access epoch of a request: raising it voids the request. */
export type AccountAtEpoch = Pick<Account, 'sub' | 'accessEpoch'>

/**
 * CTE `person`, for statements that store what a proof of identity allows: it has a row while the account's access epoch
 * is the one of the proof. The row lock lasts to the end of the transaction. A concurrent revocation, which raises the
 * epoch, either waits for it and then finds what was stored, or comes first and the comparison fails.
 *
 * Statements that use it lock the account before anything else, as the revocation does.
 *
 * @param sub the parameter that holds the account's identifier.
 * @param epoch the parameter that holds the epoch of the proof; null matches none.
 */
export function personUnderEpoch(sub: string, epoch: string): string {
  return `person as materialized (
      select 1 from account where sub = ${sub}::uuid and access_epoch = ${epoch}::int for share
    )`
}

/**
 * Locks an account for a change that was requested under an access epoch.
 *
 * @returns false when the epoch was raised since: the change must not happen.
 */
export async function lockUnderEpoch(
  transaction: Database,
  { sub, accessEpoch }: AccountAtEpoch,
): Promise<boolean> {
  return (await lockAccount(transaction, [sub, accessEpoch])).length > 0
}

const lockAccount = prepareStatement(
  'access_epoch_lock',
  'select 1 from account where sub = $1::uuid and access_epoch = $2::int for no key update',
)
