import type { NewEvent, Origin } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { expiredRowsOf } from '../../db/expired-rows.ts'
import { prepareList, prepareStatement } from '../../db/prepared-statement.ts'
import { personUnderEpoch } from '../account/access-epoch.ts'
import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from '../account/account.ts'

/** A browser that signs a person in again after its session has ended. */
export type RememberedBrowser = Readonly<{
  id: string
  address: string | undefined
  userAgent: string | undefined
  createdAt: Date
  usedAt: Date
  expiresAt: Date
}>

type NewRememberedBrowser = Readonly<{
  id: string
  accountSub: string
  /** The access epoch of the person's proof of identity. */
  accessEpoch: number
  secretHash: Uint8Array
  /** How long the browser is remembered, from now on. */
  seconds: number
  origin: Origin
}>

/** The meaning of a presented remember-me cookie. */
type Recognition =
  /** The secret was current, or was replaced within the grace time. `sealedSecret` is its successor. */
  | {
      outcome: 'recognised'
      account: Account
      authenticatedAt: Date
      expiresAt: Date
      sealedSecret: Uint8Array
    }
  /** The secret had been replaced before: there is a copy of the cookie. */
  | { outcome: 'reused'; accountSub: string }
  | { outcome: 'unknown' }

type Presented = Readonly<{
  id: string
  secretHash: Uint8Array
  /** The new secret. */
  successor: Readonly<{ hash: Uint8Array; sealed: Uint8Array }>
  origin: Origin
}>

export type RememberedBrowserStore = ReturnType<typeof createRememberedBrowserStore>

export function createRememberedBrowserStore(database: Database, { events }: { events: EventStore }) {
  return {
    /**
     * Remembers a browser after a proof of identity, unless the access epoch was raised meanwhile.
     *
     * @param replaced the browser's previous identifier.
     * @returns the expiry; undefined when nothing was stored.
     */
    async insert(
      browser: NewRememberedBrowser,
      { replaced, event }: { replaced: string | undefined; event: NewEvent },
    ): Promise<Date | undefined> {
      return await database.transaction().execute(async (transaction) => {
        const [inserted] = await insertBrowser(transaction, [
          browser.id,
          browser.accountSub,
          browser.accessEpoch,
          browser.secretHash,
          browser.seconds,
          browser.origin.address ?? null,
          browser.origin.userAgent ?? null,
        ])
        if (!inserted) return undefined
        if (replaced !== undefined) await deleteBrowser(transaction, [replaced])
        await events.record([event], transaction)
        return inserted.expires_at
      })
    },

    /**
     * Recognises a browser by its cookie and replaces the secret. Of any number of concurrent requests with one secret,
     * on all instances, one replaces it; for `graceSeconds` the others get the same successor.
     */
    async recognise(presented: Presented, graceSeconds: number): Promise<Recognition> {
      const { id, secretHash, successor, origin } = presented
      const [rotated] = await rotateSecret(database, [
        id,
        secretHash,
        successor.hash,
        successor.sealed,
        origin.address ?? null,
        origin.userAgent ?? null,
      ])
      // A request that lost the race reads the secret after the winner's commit.
      const row = rotated ?? (await findBrowser(database, [id, secretHash]))[0]
      if (!row) return { outcome: 'unknown' }
      const isCurrent = rotated !== undefined
      const isWithinGrace = row.is_previous && row.rotated_seconds_ago <= graceSeconds && row.sealed_secret
      if (!isCurrent && !isWithinGrace) return { outcome: 'reused', accountSub: row.sub }
      return {
        outcome: 'recognised',
        account: toAccount(row),
        authenticatedAt: row.authenticated_at,
        expiresAt: row.expires_at,
        sealedSecret: row.sealed_secret ?? successor.sealed,
      }
    },

    listOf: (accountSub: string): Promise<RememberedBrowser[]> => listBrowsers(database, [accountSub]),

    /** Forgets a browser; its sessions go on. */
    async delete(id: string): Promise<void> {
      await deleteBrowser(database, [id])
    },

    ...expiredRowsOf(database, 'remembered_browser'),
  }
}

const insertBrowser = prepareStatement<{ expires_at: Date }>(
  'browser_insert',
  `with ${personUnderEpoch('$2', '$3')}
    insert into remembered_browser
      (id, account_sub, access_epoch, secret_hash, authenticated_at, expires_at, address, user_agent)
    select $1::uuid, $2::uuid, $3::int, $4::bytea, now(), now() + make_interval(secs => $5::float8), $6, $7
    from person returning expires_at`,
)

const deleteBrowser = prepareStatement('browser_delete', 'delete from remembered_browser where id = $1::uuid')

const COLUMNS = `remembered.expires_at, remembered.authenticated_at, remembered.sealed_secret, ${ACCOUNT_COLUMNS}`

type BrowserRow = AccountRow & {
  expires_at: Date
  authenticated_at: Date
  sealed_secret: Uint8Array | null
  is_previous: boolean
  rotated_seconds_ago: number
}

const rotateSecret = prepareStatement<BrowserRow>(
  'browser_rotate',
  `update remembered_browser as remembered
    set previous_secret_hash = secret_hash, secret_hash = $3, sealed_secret = $4, rotated_at = now(),
      address = $5, user_agent = $6
    from account
    where id = $1::uuid and secret_hash = $2 and expires_at > now()
      and account.sub = remembered.account_sub and account.status = 'active'
      and account.access_epoch = remembered.access_epoch
    returning ${COLUMNS}, false as is_previous, 0::float8 as rotated_seconds_ago`,
)

const findBrowser = prepareStatement<BrowserRow>(
  'browser_find',
  `select ${COLUMNS}, coalesce(previous_secret_hash = $2, false) as is_previous,
      extract(epoch from now() - rotated_at)::float8 as rotated_seconds_ago
    from remembered_browser as remembered join account on account.sub = remembered.account_sub
    where id = $1::uuid and expires_at > now() and account.status = 'active' and account.access_epoch = remembered.access_epoch`,
)

const listBrowsers = prepareList<RememberedBrowser>(
  'browser_list',
  `select id, address, user_agent, created_at, rotated_at as used_at, expires_at from remembered_browser
    where account_sub = $1::uuid and expires_at > now() order by rotated_at desc`,
)
