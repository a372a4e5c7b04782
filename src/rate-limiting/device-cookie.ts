import type { Account } from '../store/account/account.ts'

/** The device cookie's entry for one account: it signed in with this browser under this access epoch. */
export type DeviceCookieEntry = Readonly<{ sub: string; accessEpoch: number; id: string }>

/** Finds the entry of an account. @returns undefined when the account's access epoch was raised since. */
export function deviceOf(
  { sub, accessEpoch }: Pick<Account, 'sub' | 'accessEpoch'>,
  entries: readonly DeviceCookieEntry[],
): DeviceCookieEntry | undefined {
  return entries.find((entry) => entry.sub === sub && entry.accessEpoch === accessEpoch)
}
