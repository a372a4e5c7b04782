import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { insertMail, type NewMail } from '../outbox/mail.ts'
import type { RevocationCause, Revocations } from '../revocation/revocation.ts'
import { lockUnderEpoch } from './access-epoch.ts'
import { insertAccount, isNameTaken, loginKey, type NewAccount } from './account.ts'
import { consumeLink, revokeLinksOf } from './mail-link.ts'
import { replacePassword } from './password-change.ts'

/** The outcome of using a link: `over` when it was used, replaced or outdated, `taken` when another account has the name. */
export type LinkUse = 'done' | 'over' | 'taken'

type Use = Readonly<{ secretHash: Uint8Array; event: NewEvent }>

type ResetPassword = Readonly<{
  sub: string
  passwordHash: string
  cause: RevocationCause
  mail: readonly NewMail[]
}>

export type SelfServiceStore = ReturnType<typeof createSelfServiceStore>

type Needs = { events: EventStore; revocations: Revocations }

/** Changes that people make with a mailed link. Each consumes the link in its transaction. */
export function createSelfServiceStore(database: Database, { events, revocations }: Needs) {
  /** Consumes a link for a change. When the name is taken, the link stays usable. */
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
        if (outcome !== 'done') throw new RollbackError(outcome)
        await events.record([event], transaction)
        return outcome
      })
    } catch (error) {
      if (error instanceof RollbackError) return error.outcome
      throw error
    }
  }

  return {
    register: (link: Use, account: NewAccount): Promise<LinkUse> =>
      use(link, async (transaction) => {
        // Another account has the address by now, perhaps as its username: no other username helps.
        if (await isLogin(transaction, account.email)) return 'over'
        await insertAccount(transaction, account).catch(rollbackWhenTaken)
        return 'done'
      }),

    /** Sets a new password and revokes every session, remembered browser and grant. */
    async resetPassword(link: Use, { sub, passwordHash, cause, mail }: ResetPassword) {
      let accessEpoch: number | undefined
      const outcome = await use(link, async (transaction) => {
        accessEpoch = await replacePassword(transaction, revocations, { sub, passwordHash, cause, mail })
        return accessEpoch === undefined ? 'over' : 'done'
      })
      return { use: outcome, accessEpoch }
    },

    /** Verifies the address that the link was mailed to, while the account still has it. */
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

    /** Changes the address, and the username if that is the old address: one login never means two accounts. */
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
          .catch(rollbackWhenTaken)
        if (numUpdatedRows === 0n) return 'over'
        await revokeLinksOf(transaction, sub)
        await insertMail(transaction, mail)
        return 'done'
      }),
  }
}

class RollbackError extends Error {
  readonly outcome: LinkUse
  constructor(outcome: LinkUse) {
    super(outcome)
    this.outcome = outcome
  }
}

/** Another account took the name or address since it was checked. */
function rollbackWhenTaken(error: unknown): never {
  throw isNameTaken(error) ? new RollbackError('taken') : error
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
