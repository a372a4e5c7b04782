import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { expiredRowsOf, secondsFromNow } from '../../db/expired-rows.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { MailLinkTable } from '../../db/schema.ts'
import { insertMail, type NewMail } from '../outbox/mail.ts'
import type { AccountAtEpoch } from './access-epoch.ts'

export type LinkPurpose = MailLinkTable['purpose']

/** A link to be mailed. Only the mail holds its secret. */
type NewMailLink = Readonly<{
  purpose: LinkPurpose
  /** The recipient, who has one link of each purpose: the newest. */
  subject: Uint8Array
  secretHash: Uint8Array
  /** The account that the link is for, with its access epoch; undefined when there is none. */
  account: AccountAtEpoch | undefined
  sealedRequest: Uint8Array
  /** How long the link is valid, from now on. */
  seconds: number
}>

type MailLink = Readonly<{
  purpose: LinkPurpose
  account: AccountAtEpoch | undefined
  sealedRequest: Uint8Array
}>

export type MailLinkStore = ReturnType<typeof createMailLinkStore>

export function createMailLinkStore(database: Database, { events }: { events: EventStore }) {
  return {
    /** Stores a link, which replaces the previous one, with its mail. The statements are the same for every recipient. */
    async insert(
      link: NewMailLink,
      { mail, event }: { mail: readonly NewMail[]; event: NewEvent },
    ): Promise<void> {
      const { purpose, subject, secretHash, account, sealedRequest, seconds } = link
      const changing = {
        secret_hash: secretHash,
        account_sub: account?.sub ?? null,
        access_epoch: account?.accessEpoch ?? null,
        sealed_request: sealedRequest,
        created_at: sql<Date>`now()`,
        expires_at: secondsFromNow(seconds),
      }
      await database.transaction().execute(async (transaction) => {
        await transaction
          .insertInto('mail_link')
          .values({ purpose, subject, ...changing })
          .onConflict((conflict) => conflict.columns(['purpose', 'subject']).doUpdateSet(changing))
          .execute()
        await insertMail(transaction, mail)
        await events.record([event], transaction)
      })
    },

    /** Finds a usable link by the hash of its secret: not used, replaced or expired, of an active account. */
    async find(secretHash: Uint8Array): Promise<MailLink | undefined> {
      const [row] = await findLink(database, [secretHash])
      return row && toLink(row)
    },

    ...expiredRowsOf(database, 'mail_link'),
  }
}

/** Consumes a link in the transaction of its change. Of any number of concurrent calls exactly one gets it. */
export async function consumeLink(
  transaction: Database,
  secretHash: Uint8Array,
): Promise<MailLink | undefined> {
  const [row] = await deleteLink(transaction, [secretHash])
  return row && toLink(row)
}

/** Deletes every link of an account, in the transaction of the change that outdates them. */
export async function revokeLinksOf(transaction: Database, accountSub: string): Promise<void> {
  await transaction.deleteFrom('mail_link').where('account_sub', '=', accountSub).execute()
}

type LinkRow = Omit<MailLink, 'account'> & { sub: string | null; accessEpoch: number | null }

function toLink({ sub, accessEpoch, ...row }: LinkRow): MailLink {
  return { ...row, account: sub === null || accessEpoch === null ? undefined : { sub, accessEpoch } }
}

// A revocation of the whole account voids open links: an attacker may have requested them.
const IS_USABLE = `link.secret_hash = $1 and link.expires_at > now() and (link.account_sub is null or exists (
      select from account where account.sub = link.account_sub and account.status = 'active'
        and account.access_epoch = link.access_epoch
    ))`
const COLUMNS = `link.purpose, link.account_sub as sub, link.access_epoch as "accessEpoch", link.sealed_request as "sealedRequest"`

const findLink = prepareStatement<LinkRow>(
  'mail_link_find',
  `select ${COLUMNS} from mail_link as link where ${IS_USABLE}`,
)

const deleteLink = prepareStatement<LinkRow>(
  'mail_link_delete',
  `delete from mail_link as link where ${IS_USABLE} returning ${COLUMNS}`,
)
