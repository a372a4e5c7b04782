import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import { type Cause, endNow } from '../revocation/revocation.ts'

/** How many browsers one person may be signed in with at once: at all, or to one client. */
export type SessionCount = Readonly<{ most: number; clientId?: string }>

/** What happens to who comes when there are as many as there may be. */
export type WhenFull = 'end-oldest' | 'refuse'

/** There are as many sessions as there may be, and none is ended for a new one. */
export class TooManySessionsError extends Error {
  override name = 'TooManySessionsError'
}

export type NewSession = Readonly<{ uid: string; accountSub: string }>

/**
 * Makes room for a session, in the transaction that stores it. Sign-ins of one person take turns, over all instances,
 * so that no two of them take the last place.
 *
 * @throws {TooManySessionsError}
 */
export async function makeRoom(
  transaction: Database,
  { uid, accountSub }: NewSession,
  { counts, whenFull, cause }: { counts: readonly SessionCount[]; whenFull: WhenFull; cause: Cause },
): Promise<void> {
  await lockAccount(transaction, [accountSub])
  for (const { most, clientId } of counts) {
    const others = await findOthers(transaction, [accountSub, uid, clientId ?? null])
    if (others.length < most) continue
    if (whenFull === 'refuse') throw new TooManySessionsError('as many sessions as there may be')
    const endings = others.slice(most - 1).map((other) =>
      clientId === undefined
        ? ({ what: 'session', uid: other.uid, cause } as const)
        : // What else the browser is signed in to goes on.
          ({ what: 'authorization', uid: other.uid, clientId, cause } as const),
    )
    await endNow(transaction, endings)
  }
}

/** How many other browsers a person is signed in with, at all or to one client. */
export async function countOthers(
  database: Database,
  { uid, accountSub }: NewSession,
  clientId?: string,
): Promise<number> {
  return (await findOthers(database, [accountSub, uid, clientId ?? null])).length
}

const lockAccount = prepareStatement(
  'account_lock',
  'select from account where sub = $1::uuid for no key update',
)

/** Newest first. To a client a browser counts while it has a grant for it. */
const findOthers = prepareStatement<{ uid: string }>(
  'session_others',
  `select uid from (
      select uid, max((payload ->> 'loginTs')::float8) as signed_in_at, max(seen_at) as seen_at
      from oidc_session
      where account_sub = $1::uuid and uid <> $2 and ended_at is null and expires_at > now()
        and ($3::text is null or exists (
          select from oidc_grant where oidc_grant.id = oidc_session.payload -> 'authorizations' -> $3 ->> 'grantId'
        ))
      group by uid
    ) as other order by signed_in_at desc, seen_at desc, uid`,
)
