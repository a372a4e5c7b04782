import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { RevocationCause, Revocations } from '../revocation/revocation.ts'

/** The largest number of browsers that one person may be signed in with at once, in total or to one client. */
export type SessionCount = Readonly<{ most: number; clientId?: string }>

/** The effect of a sign-in when the limit is reached. */
export type WhenFull = 'end-oldest' | 'refuse'

export type SessionLimit = Readonly<{
  counts: readonly SessionCount[]
  whenFull: WhenFull
  cause: RevocationCause
}>

/** The session limit is reached, and no session ends for a new one. */
export class TooManySessionsError extends Error {
  override name = 'TooManySessionsError'
}

export type NewSession = Readonly<{ uid: string; accountSub: string }>

/**
 * Enforces the session limit, in the transaction that stores the new session. It locks the account, so that concurrent
 * sign-ins of one person on all instances run one after the other.
 *
 * @throws {TooManySessionsError}
 */
export async function enforceLimit(
  transaction: Database,
  revocations: Revocations,
  { session, limit }: { session: NewSession; limit: SessionLimit },
): Promise<void> {
  const { uid, accountSub } = session
  await lockAccount(transaction, [accountSub])
  for (const { most, clientId } of limit.counts) {
    const others = await findOthers(transaction, [accountSub, uid, clientId ?? null])
    if (others.length < most) continue
    if (limit.whenFull === 'refuse') throw new TooManySessionsError('session limit reached')
    const uids = others.slice(most - 1).map((other) => other.uid)
    if (clientId === undefined) await revocations.revokeSessions(transaction, uids, limit.cause)
    // At a client's limit the sessions go on at other clients.
    else await revocations.revokeAuthorizations(transaction, uids, clientId)
  }
}

/** Counts the other browsers that a person is signed in with, in total or to one client. */
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

/** Newest first. At a client, a session counts while it has a grant for it. */
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
