import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { expiredRowsOf, secondsFromNow } from '../../db/expired-rows.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { MailLinkTable } from '../../db/schema.ts'
import { insertMail, type NewMail } from '../outbox/mail.ts'
import type { Account } from './account.ts'

/** What a link in a mail is for. */
export type LinkPurpose = MailLinkTable['purpose']

/** A link to be mailed; only the mail holds its secret. */
export type NewMailLink = Readonly<{
  purpose: LinkPurpose
  /** Whom it is for; of each purpose they have one link, the newest. */
  subject: Uint8Array
  secretHash: Uint8Array
  /** The account that the link is for, with its access epoch; undefined when there is none. */
  account: AccountAtEpoch | undefined
  sealedRequest: Uint8Array
  /** How long the link is valid, from now on. */
  seconds: number
}>

/** An account with the access epoch of a request: raising it voids the request. */
export type AccountAtEpoch = Pick<Account, 'sub' | 'accessEpoch'>

/** A link that works. */
export type MailLink = Readonly<{
  purpose: LinkPurpose
  account: AccountAtEpoch | undefined
  sealedRequest: Uint8Array
}>

export type MailLinkStore = ReturnType<typeof createMailLinkStore>

export function createMailLinkStore(database: Database, { events }: { events: EventStore }) {
  return {
    /** Makes a link, replaces the one before, and has it mailed. The statements are the same whoever it is for. */
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

    /** The link with this secret, while it works: not used, replaced, or too old, and its person not locked out. */
    async find(secretHash: Uint8Array): Promise<MailLink | undefined> {
      const [row] = await findLink(database, [secretHash])
      return row && toLink(row)
    },

    ...expiredRowsOf(database, 'mail_link'),
  }
}

/** Uses a link up, in the transaction of what it was for. Of any number of concurrent calls exactly one gets it. */
export async function consumeLink(
  transaction: Database,
  secretHash: Uint8Array,
): Promise<MailLink | undefined> {
  const [row] = await deleteLink(transaction, [secretHash])
  return row && toLink(row)
}

/** Ends every link of a person, in the transaction of what made them out of date. */
export async function endLinksOf(transaction: Database, accountSub: string): Promise<void> {
  await transaction.deleteFrom('mail_link').where('account_sub', '=', accountSub).execute()
}

type LinkRow = Omit<MailLink, 'account'> & { sub: string | null; accessEpoch: number | null }

function toLink({ sub, accessEpoch, ...row }: LinkRow): MailLink {
  return { ...row, account: sub === null || accessEpoch === null ? undefined : { sub, accessEpoch } }
}

// A revocation of the whole account voids open links: an attacker may have requested them.
const WORKS = `link.secret_hash = $1 and link.expires_at > now() and (link.account_sub is null or exists (
      select from account where account.sub = link.account_sub and account.status = 'active'
        and account.access_epoch = link.access_epoch
    ))`
const COLUMNS = `link.purpose, link.account_sub as sub, link.access_epoch as "accessEpoch", link.sealed_request as "sealedRequest"`

const findLink = prepareStatement<LinkRow>(
  'mail_link_find',
  `select ${COLUMNS} from mail_link as link where ${WORKS}`,
)

const deleteLink = prepareStatement<LinkRow>(
  'mail_link_delete',
  `delete from mail_link as link where ${WORKS} returning ${COLUMNS}`,
)
