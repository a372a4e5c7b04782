import type { Account } from '../store/account.ts'

/** What a device cookie says of one account: it signed in with this browser, under this access epoch. */
export type DeviceCookieEntry = Readonly<{ sub: string; accessEpoch: number; id: string }>

/** What a device cookie says of an account. @returns undefined when a revocation of the person ended it. */
export function deviceOf(
  { sub, accessEpoch }: Pick<Account, 'sub' | 'accessEpoch'>,
  entries: readonly DeviceCookieEntry[],
): DeviceCookieEntry | undefined {
  return entries.find((entry) => entry.sub === sub && entry.accessEpoch === accessEpoch)
}
