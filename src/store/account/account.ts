import { type Selectable, sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { isUniqueViolation } from '../../db/database-error.ts'
import type { AccountTable } from '../../db/schema.ts'
import type { RevocationCause, Revocations, RevokedCount } from '../revocation/revocation.ts'
import { type PasswordChange, replacePassword } from './password-change.ts'

/*
 * The room store/account: accounts, their access epoch (access-epoch.ts), the change of a password, mailed links, and the
 * changes that people make with such a link (self-service.ts).
 */

/** The account of a person, without its password hash. */
export type Account = Readonly<{
  sub: string
  username: string
  email: string | undefined
  emailVerified: boolean
  /** Standard claims of the profile scope, by their wire names. */
  profile: Readonly<Record<string, unknown>>
  status: 'active' | 'disabled'
  /**
   * Raised by every revocation of the whole account: a new password, a reset, sign-out everywhere, disabling. A proof
   * of identity is valid while the account's epoch is the one it was made under.
   */
  accessEpoch: number
  createdAt: Date
  updatedAt: Date
}>

export type NewAccount = Pick<Account, 'sub' | 'username' | 'email' | 'emailVerified' | 'profile'> & {
  passwordHash: string | undefined
}

export type AccountStore = ReturnType<typeof createAccountStore>

type Needs = Readonly<{ events: EventStore; revocations: Revocations }>

export function createAccountStore(database: Database, { events, revocations }: Needs) {
  return {
    /**
     * @returns `taken` when another account has the username or e-mail address, in any spelling, `client` when the `sub`
     *   is a client_id.
     */
    async insert(account: NewAccount, event: NewEvent): Promise<'inserted' | 'taken' | 'client'> {
      try {
        await events.changeAndRecord(event, async (transaction) => {
          await insertAccount(transaction, account)
          return true
        })
        return 'inserted'
      } catch (error) {
        if (isNameTaken(error)) return 'taken'
        if (isUniqueViolation(error, 'principal_kind')) return 'client'
        throw error
      }
    },

    async find(sub: string): Promise<Account | undefined> {
      const row = await database.selectFrom('account').selectAll().where('sub', '=', sub).executeTakeFirst()
      return row && toAccount(row)
    },

    /** By username or e-mail address, in any spelling; a username wins over another person's address. */
    async findByLogin(login: string) {
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
     * Replaces the password and revokes every session and grant, including those made with the old password.
     *
     * @returns the new access epoch; undefined when there is no such account, or its epoch was raised since the change
     *   was requested.
     */
    async setPassword(
      sub: string,
      passwordHash: string,
      change: PasswordChange,
    ): Promise<number | undefined> {
      return await database
        .transaction()
        .execute((transaction) => replacePassword(transaction, revocations, { sub, passwordHash, ...change }))
    },

    /** Replaces a hash with outdated parameters by a new one of the same password, unless the password changed meanwhile. */
    async upgradePasswordHash(sub: string, from: string, to: string): Promise<void> {
      await database
        .updateTable('account')
        .set({ password_hash: to })
        .where('sub', '=', sub)
        .where('password_hash', '=', from)
        .execute()
    },

    /**
     * Enables or disables an account. Disabling revokes every session and grant in the same transaction.
     *
     * @returns false when there is no such account.
     */
    async setStatus(sub: string, status: Account['status'], event: NewEvent): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('account')
          .set({ status, updated_at: sql<Date>`now()` })
          .where('sub', '=', sub)
          .executeTakeFirst()
        if (numUpdatedRows === 0n) return false
        if (status === 'disabled')
          await revocations.revokeAccount(transaction, {
            accountSub: sub,
            cause: { reason: 'account_disabled', by: 'operator' },
          })
        await events.record([event], transaction)
        return true
      })
    },

    /** Revokes every session, remembered browser and grant of an account, and notifies its apps. */
    async signOut(sub: string, cause: RevocationCause): Promise<RevokedCount> {
      return await database.transaction().execute(async (transaction) => {
        const { revoked } = await revocations.revokeAccount(transaction, { accountSub: sub, cause })
        return revoked
      })
    },

    /** Deletes an account with its sessions, grants and tokens. @returns false when there is no such account. */
    async delete(sub: string, event: NewEvent): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        const cause = { reason: 'account_deleted', by: 'operator' } as const
        await revocations.revokeAccount(transaction, { accountSub: sub, cause })
        const { numDeletedRows } = await transaction
          .deleteFrom('account')
          .where('sub', '=', sub)
          .executeTakeFirst()
        if (numDeletedRows > 0n) await events.record([event], transaction)
        return numDeletedRows > 0n
      })
    },
  }
}

/** Rejects with a unique violation when another account has the username or e-mail address, in any spelling. */
export async function insertAccount(
  transaction: Database,
  { sub, username, email, emailVerified, profile, passwordHash }: NewAccount,
): Promise<void> {
  await transaction
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
}

/** Whether {@link insertAccount}, or a change of an e-mail address, failed because the name or address is taken. */
export function isNameTaken(error: unknown): boolean {
  return isUniqueViolation(error, 'account_username_key_key', 'account_email_key_key')
}

/**
 * The form in which two spellings of one login are equal: compatibility-normalised (full-width letters,
 * ligatures), case folded.
 */
export function loginKey(login: string): string {
  return login.normalize('NFKC').toLowerCase().normalize('NFKC')
}

/** The columns that {@link toAccount} reads, for statements that join an account. */
export type AccountRow = Omit<Selectable<AccountTable>, 'username_key' | 'email_key' | 'password_hash'>

export const ACCOUNT_COLUMNS =
  'account.sub, account.username, account.email, account.email_verified, account.profile, account.status, account.access_epoch, account.created_at, account.updated_at'

export function toAccount(row: AccountRow): Account {
  return {
    sub: row.sub,
    username: row.username,
    email: row.email ?? undefined,
    emailVerified: row.email_verified,
    profile: row.profile,
    status: row.status,
    accessEpoch: row.access_epoch,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
