import { type Selectable, sql } from 'kysely'
import type { Database } from './database.ts'
import { isUniqueViolation } from './fault.ts'
import type { AccountTable } from './schema.ts'

/** A person, as the rest of the house sees one: no password, no look-up keys. */
export type Account = Readonly<{
  sub: string
  username: string
  email: string | undefined
  emailVerified: boolean
  /** Standard claims of the profile scope, by their wire names. */
  profile: Readonly<Record<string, unknown>>
  status: 'active' | 'disabled'
  createdAt: Date
  updatedAt: Date
}>

export type NewAccount = Pick<Account, 'sub' | 'username' | 'email' | 'emailVerified' | 'profile'> & {
  passwordHash: string | undefined
}

export type AccountStore = ReturnType<typeof createAccountStore>

export function createAccountStore(database: Database) {
  return {
    /** @returns false when the username or e-mail address belongs to somebody else, in any spelling. */
    async insert({
      sub,
      username,
      email,
      emailVerified,
      profile,
      passwordHash,
    }: NewAccount): Promise<boolean> {
      try {
        await database
          .insertInto('account')
          .values({
            sub,
            username,
            username_key: loginKey(username),
            email: email ?? null,
            email_key: email === undefined ? null : loginKey(email),
            email_verified: emailVerified,
            profile: JSON.stringify(profile),
            password_hash: passwordHash ?? null,
          })
          .execute()
        return true
      } catch (error) {
        if (isUniqueViolation(error)) return false
        throw error
      }
    },

    async find(sub: string): Promise<Account | undefined> {
      const row = await database.selectFrom('account').selectAll().where('sub', '=', sub).executeTakeFirst()
      return row && toAccount(row)
    },

    /** By username or e-mail address, in any spelling; a username wins over another person's address. */
    async findByLogin(
      login: string,
    ): Promise<{ account: Account; passwordHash: string | undefined } | undefined> {
      const key = loginKey(login)
      const row = await database
        .selectFrom('account')
        .selectAll()
        .where((where) => where.or([where('username_key', '=', key), where('email_key', '=', key)]))
        .orderBy(sql`username_key = ${key}`, 'desc')
        .limit(1)
        .executeTakeFirst()
      return row && { account: toAccount(row), passwordHash: row.password_hash ?? undefined }
    },

    async list(): Promise<Account[]> {
      const rows = await database.selectFrom('account').selectAll().orderBy('username_key').execute()
      return rows.map(toAccount)
    },

    async isEmpty(): Promise<boolean> {
      return (await database.selectFrom('account').select('sub').limit(1).executeTakeFirst()) === undefined
    },

    /**
     * Replaces the password and ends every session and grant: who knew the old one is out.
     *
     * @returns false when nobody has this sub.
     */
    async setPassword(sub: string, passwordHash: string): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('account')
          .set({ password_hash: passwordHash, updated_at: new Date() })
          .where('sub', '=', sub)
          .executeTakeFirst()
        if (numUpdatedRows === 0n) return false
        await endAccess(transaction, sub)
        return true
      })
    },

    /** Replaces a hash made with outdated parameters by a new one of the same password, unless it changed meanwhile. */
    async upgradePasswordHash(sub: string, from: string, to: string): Promise<void> {
      await database
        .updateTable('account')
        .set({ password_hash: to })
        .where('sub', '=', sub)
        .where('password_hash', '=', from)
        .execute()
    },

    /** Disabling ends every session and grant in the same transaction. @returns false when nobody has this sub. */
    async setStatus(sub: string, status: Account['status']): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('account')
          .set({ status, updated_at: new Date() })
          .where('sub', '=', sub)
          .executeTakeFirst()
        if (numUpdatedRows === 0n) return false
        if (status === 'disabled') await endAccess(transaction, sub)
        return true
      })
    },

    /** Ends every session and grant, and with the grants every token. */
    async signOut(sub: string): Promise<{ sessions: number; grants: number }> {
      return await database.transaction().execute((transaction) => endAccess(transaction, sub))
    },

    /** Sessions, grants and tokens go with the row. @returns false when nobody has this sub. */
    async delete(sub: string): Promise<boolean> {
      const { numDeletedRows } = await database
        .deleteFrom('account')
        .where('sub', '=', sub)
        .executeTakeFirst()
      return numDeletedRows > 0n
    },
  }
}

/**
 * The form in which two spellings of one login are equal: compatibility-normalised (full-width letters,
 * ligatures), case folded.
 */
export function loginKey(login: string): string {
  return login.normalize('NFKC').toLowerCase().normalize('NFKC')
}

async function endAccess(transaction: Database, sub: string): Promise<{ sessions: number; grants: number }> {
  const sessions = await transaction
    .updateTable('oidc_session')
    .set({ ended_at: sql<Date>`now()` })
    .where('account_sub', '=', sub)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  const grants = await transaction.deleteFrom('oidc_grant').where('account_sub', '=', sub).executeTakeFirst()
  return { sessions: Number(sessions.numUpdatedRows), grants: Number(grants.numDeletedRows) }
}

/** What {@link toAccount} reads, for statements that bring an account along. */
export type AccountRow = Pick<
  Selectable<AccountTable>,
  'sub' | 'username' | 'email' | 'email_verified' | 'profile' | 'status' | 'created_at' | 'updated_at'
>

export const ACCOUNT_COLUMNS =
  'account.sub, account.username, account.email, account.email_verified, account.profile, account.status, account.created_at, account.updated_at'

export function toAccount(row: AccountRow): Account {
  return {
    sub: row.sub,
    username: row.username,
    email: row.email ?? undefined,
    emailVerified: row.email_verified,
    profile: row.profile,
    status: row.status,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
