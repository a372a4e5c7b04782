import { createBatcher } from './batching.ts'
import type { Database } from './database.ts'
import { eventParameters, insertEvents, type NewEvent } from './event.ts'
import { columnsOf, defineStatement } from './statement.ts'
import { TOKEN_KINDS, type TokenKind } from './token.ts'

/** What can be ended before its time, and what is recorded with it. */
export type Ending = Readonly<{ event?: NewEvent | undefined }> &
  Readonly<
    /** A grant with every token under it. */
    | { what: 'grant'; grantId: string }
    /** The tokens of one kind under a grant that stays. */
    | { what: 'tokens'; grantId: string; kind: TokenKind }
    | { what: 'token'; idHash: Uint8Array }
    /** A browser session, by its `uid`; for good, no request in flight can write it back. */
    | { what: 'session'; uid: string }
  >

/**
 * Ends things (RFC 7009 §2.1). The engine asks for each kind of token and for the grant by itself, all at once: they
 * become one statement, so they cannot wait for each other's locks.
 */
export function createEnding(database: Database): (ending: Ending) => Promise<void> {
  return createBatcher<Ending, void>(async (endings) => {
    const grants = endings.filter((ending) => ending.what === 'grant')
    const kinds = endings.filter((ending) => ending.what === 'tokens')
    const single = endings.filter((ending) => ending.what === 'token')
    const sessions = endings.filter((ending) => ending.what === 'session')
    const events = endings.flatMap(({ event }) => (event ? [{ event }] : []))
    await end(database, [
      grants.map(({ grantId }) => grantId),
      ...columnsOf(
        kinds,
        ({ grantId }) => grantId,
        ({ kind }) => TOKEN_KINDS[kind],
      ),
      single.map(({ idHash }) => idHash),
      sessions.map(({ uid }) => uid),
      ...eventParameters(events),
    ])
    return []
  })
}

const end = defineStatement(
  'end',
  `with grants as (
      delete from oidc_grant where id in (select id from oidc_grant where id = any($1::text[]) order by id for update)
    ), tokens as (
      delete from oidc_token using unnest($2::text[], $3::smallint[]) as ended (grant_id, kind)
      where oidc_token.grant_id = ended.grant_id and oidc_token.kind = ended.kind and ended.grant_id <> all($1)
    ), single as (
      delete from oidc_token where id_hash = any($4::bytea[]) and (grant_id is null or grant_id <> all($1))
    ), sessions as (
      update oidc_session set ended_at = now() where uid = any($5::text[]) and ended_at is null
    ), recorded as (${insertEvents(6)}
    )
    select`,
)
