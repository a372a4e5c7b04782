/**
 * Room admin/: the operations of an operator, one file per noun. Each takes JSON and returns JSON, so that the command
 * line can call it in its own process, or over socket.ts in the server that holds the embedded database.
 */

import { createAccountAccess } from '../accounts/access.ts'
import type { PasswordHasher } from '../accounts/password.ts'
import type { PasswordRules } from '../accounts/password-rules.ts'
import type { EventStore } from '../audit/event-store.ts'
import type { DatabaseClock } from '../database-clock.ts'
import type { Cleanup, CleanupReport } from '../jobs/cleanup.ts'
import type { Keyring } from '../oidc/keyring.ts'
import type { Outbound } from '../outbound/client.ts'
import type { SignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import type { AccountStore } from '../store/account/account.ts'
import type { ClientStore } from '../store/client/client.ts'
import type { ResourceStore } from '../store/client/resource.ts'
import type { Revocations } from '../store/revocation/revocation.ts'
import type { ConnectionStore } from '../store/session/connection.ts'
import type { RememberedBrowserStore } from '../store/session/remembered-browser.ts'
import type { SessionStore } from '../store/session/session.ts'
import { createClientsAdmin } from './clients.ts'
import { createEventsAdmin } from './events.ts'
import { AdminError } from './input.ts'
import { createResourcesAdmin } from './resources.ts'
import { createUsersAdmin } from './users.ts'

type Needs = {
  stores: {
    accounts: AccountStore
    clients: ClientStore
    resources: ResourceStore
    events: EventStore
    sessions: SessionStore
    rememberedBrowsers: RememberedBrowserStore
    connections: ConnectionStore
    revocations: Revocations
  }
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

type KeyDocument = { kid: string; alg: string; state: string; created_at: string }

type ClockDocument = { now: string; ahead_seconds: number }

/** The operations by noun and verb. An operation that is not possible rejects with AdminError. */
export function createAdmin(needs: Needs) {
  const { stores, passwords, signInRateLimit, keyring, cleanup, outbound, clock, pendingMigrations } = needs
  const { accounts, clients, resources, events, sessions, rememberedBrowsers, connections, revocations } =
    stores
  return {
    clients: createClientsAdmin({ clients, resources, outbound }),
    users: createUsersAdmin({
      accounts,
      access: createAccountAccess({ sessions, rememberedBrowsers, connections, revocations }),
      passwords,
      signInRateLimit,
    }),
    resources: createResourcesAdmin({ resources, clients }),
    events: createEventsAdmin({ events, accounts }),
    keys: {
      async list(): Promise<KeyDocument[]> {
        const keys = await keyring.list()
        return keys.map(({ kid, alg, state, createdAt }) => ({
          kid,
          alg,
          state,
          created_at: createdAt.toISOString(),
        }))
      },
    },
    clock: {
      /** The time of the database, and how far this machine's clock is ahead of it. */
      async show(): Promise<ClockDocument> {
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
