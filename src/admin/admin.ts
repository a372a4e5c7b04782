/**
 * Room admin/: the operations of an operator, one file per noun. Each takes JSON and returns JSON, so that the command
 * line can call it in its own process, or over socket.ts in the server that holds the embedded database.
 */

import { createAccountAccess } from '../accounts/access.ts'
import type { PasswordHasher } from '../accounts/password.ts'
import type { PasswordRules } from '../accounts/password-rules.ts'
import type { DatabaseClock } from '../database-clock.ts'
import type { Cleanup, CleanupReport } from '../jobs/cleanup.ts'
import type { Keyring } from '../oidc/keyring.ts'
import type { Outbound } from '../outbound/client.ts'
import type { SignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import type { Stores } from '../store/stores.ts'
import { createClientsAdmin } from './clients.ts'
import { createEventsAdmin } from './events.ts'
import { AdminError } from './input.ts'
import { createResourcesAdmin } from './resources.ts'
import { createUsersAdmin } from './users.ts'

type Needs = {
  stores: Stores
  passwords: { hasher: PasswordHasher; rules: PasswordRules }
  signInRateLimit: SignInRateLimit
  keyring: Keyring
  cleanup: Cleanup
  outbound: Pick<Outbound, 'fault'>
  clock: DatabaseClock
  /** Names of migrations that have not run. */
  pendingMigrations: () => Promise<readonly string[]>
}

/** Expired rows by table. `at_least` names the tables whose number is a lower bound. */
export type BacklogDocument = CleanupReport & { at_least?: (keyof CleanupReport)[] }

/** The operations by noun and verb. An operation that is not possible rejects with AdminError. */
export function createAdmin(needs: Needs) {
  const { stores, passwords, signInRateLimit, keyring, cleanup, outbound, clock, pendingMigrations } = needs
  return {
    clients: createClientsAdmin({ stores, outbound }),
    users: createUsersAdmin({
      accounts: stores.accounts,
      access: createAccountAccess(stores),
      passwords,
      signInRateLimit,
    }),
    resources: createResourcesAdmin(stores),
    events: createEventsAdmin(stores),
    keys: {
      async list() {
        const keys = await keyring.list()
        return keys.map(({ createdAt, kid, alg, state }) => ({
          kid,
          alg,
          state,
          created_at: createdAt.toISOString(),
        }))
      },
    },
    clock: {
      /** The time of the database, and how far this machine's clock is ahead of it. */
      async show() {
        return { now: clock.now().toISOString(), ahead_seconds: clock.distanceSeconds() }
      },
    },
    schema: { pending: (): Promise<readonly string[]> => pendingMigrations() },
    cleanup: {
      async run(): Promise<CleanupReport> {
        const deleted = await cleanup.run()
        if (!deleted) throw new AdminError('A clean-up is running already. Try again when it has finished.')
        return deleted
      },
      async count(): Promise<BacklogDocument> {
        const { rows, capped } = await cleanup.count()
        return capped.length === 0 ? rows : { ...rows, at_least: capped }
      },
    },
  }
}

export type Admin = ReturnType<typeof createAdmin>
