import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { insertMail, type NewMail } from '../outbox/mail.ts'
import type { RevocationCause, Revocations } from '../revocation/revocation.ts'
import { lockUnderEpoch } from './access-epoch.ts'
import { insertAccount, isNameTaken, loginKey, type NewAccount, replacePassword } from './account.ts'
import { consumeLink, endLinksOf } from './mail-link.ts'

/** What uses a link up: `over` when it was used, replaced or out of date, `taken` when what it asks for belongs to another. */
export type LinkUse = 'done' | 'over' | 'taken'

type Use = Readonly<{ secretHash: Uint8Array; event: NewEvent }>

type ResetPassword = Readonly<{
  sub: string
  passwordHash: string
  cause: RevocationCause
  mail: readonly NewMail[]
}>

export type SelfServiceStore = ReturnType<typeof createSelfServiceStore>

/** What people do by a mailed link: the link is used up with it, both or neither. */
export function createSelfServiceStore(
  database: Database,
  { events, revocations }: { events: EventStore; revocations: Revocations },
) {
  /** Uses a link up for what is done with it; a name that is taken leaves it good. */
  async function use(
    { secretHash, event }: Use,
    work: (transaction: Database) => Promise<LinkUse>,
  ): Promise<LinkUse> {
    try {
      return await database.transaction().execute(async (transaction) => {
        const link = await consumeLink(transaction, secretHash)
        if (!link) return 'over'
        if (link.account && !(await lockUnderEpoch(transaction, link.account))) return 'over'
        const outcome = await work(transaction)
        if (outcome !== 'done') throw new UndoneError(outcome)
        await events.record([event], transaction)
        return outcome
      })
    } catch (error) {
      if (error instanceof UndoneError) return error.outcome
      throw error
    }
  }

  return {
    register: (link: Use, account: NewAccount): Promise<LinkUse> =>
      use(link, async (transaction) => {
        // Somebody got the address meanwhile: no other name helps. One that is somebody's username is theirs, too.
        if (await isLogin(transaction, account.email)) return 'over'
        await insertAccount(transaction, account).catch(refuseTaken)
        return 'done'
      }),

    /** Ends every session, remembered browser and grant: who knew the old password is out. */
    async resetPassword(
      link: Use,
      { sub, passwordHash, cause, mail }: ResetPassword,
    ): Promise<{ use: LinkUse; accessEpoch: number | undefined }> {
      let accessEpoch: number | undefined
      const outcome = await use(link, async (transaction) => {
        accessEpoch = await replacePassword(transaction, revocations, { sub, passwordHash, cause, mail })
        return accessEpoch === undefined ? 'over' : 'done'
      })
      return { use: outcome, accessEpoch }
    },

    /** The address that the link went to, while it is still the person's. */
    verifyEmail: (link: Use, { sub, email }: { sub: string; email: string }): Promise<LinkUse> =>
      use(link, async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('account')
          .set({ email_verified: true, updated_at: sql<Date>`now()` })
          .where('sub', '=', sub)
          .where('email_key', '=', loginKey(email))
          .executeTakeFirst()
        return numUpdatedRows > 0n ? 'done' : 'over'
      }),

    /** Whose username is their address gets the new one as username, too: one login never means two people. */
    changeEmail: (
      link: Use,
      { sub, email, mail }: { sub: string; email: string; mail: readonly NewMail[] },
    ): Promise<LinkUse> =>
      use(link, async (transaction) => {
        const key = loginKey(email)
        if (await isLogin(transaction, email, sub)) return 'taken'
        const isName = sql<boolean>`username_key = email_key`
        const { numUpdatedRows } = await transaction
          .updateTable('account')
          .set({
            email,
            email_key: key,
            email_verified: true,
            username: sql<string>`case when ${isName} then ${email} else username end`,
            username_key: sql<string>`case when ${isName} then ${key} else username_key end`,
            updated_at: sql<Date>`now()`,
          })
          .where('sub', '=', sub)
          .executeTakeFirst()
          .catch(refuseTaken)
        if (numUpdatedRows === 0n) return 'over'
        await endLinksOf(transaction, sub)
        await insertMail(transaction, mail)
        return 'done'
      }),
  }
}

/** Undoes the transaction. */
class UndoneError extends Error {
  readonly outcome: LinkUse
  constructor(outcome: LinkUse) {
    super(outcome)
    this.outcome = outcome
  }
}

/** The name or the address was taken since it was checked. */
function refuseTaken(error: unknown): never {
  throw isNameTaken(error) ? new UndoneError('taken') : error
}

async function isLogin(transaction: Database, email: string | undefined, except?: string): Promise<boolean> {
  if (email === undefined) return false
  const key = loginKey(email)
  let query = transaction
    .selectFrom('account')
    .select('sub')
    .where((where) => where.or([where('username_key', '=', key), where('email_key', '=', key)]))
  if (except !== undefined) query = query.where('sub', '!=', except)
  return (await query.limit(1).executeTakeFirst()) !== undefined
}
