import { isDeepStrictEqual } from 'node:util'
import { type Selectable, sql } from 'kysely'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { ChangeNotifications } from '../../db/change-notification.ts'
import type { Database } from '../../db/connections.ts'
import { isUniqueViolation } from '../../db/database-error.ts'
import { createRowCache } from '../../db/row-cache.ts'
import type { ClientTable } from '../../db/schema.ts'
import { DEVICE_GRANT_TYPE } from './grant-type.ts'

/*
 * The room store/client: registered clients, resource servers and signing keys. Clients and resources are read through a
 * row cache, which change notifications keep current on every instance.
 */

/** A registered client. Only the hash of its secret is stored. */
export type Client = Readonly<{
  clientId: string
  /** Client metadata by RFC 7591 names, and a few names of our own. */
  metadata: Readonly<Record<string, unknown>>
  secretHash: Uint8Array | undefined
  /** The secret before a rotation, accepted until `until`. */
  previousSecret: Readonly<{ hash: Uint8Array; until: Date }> | undefined
  createdAt: Date
}>

/** SQL: whether the client in `client` is a device (RFC 8628), whose tokens outlive the session that approved it. */
export const IS_DEVICE_CLIENT = `coalesce(client.metadata -> 'grant_types' ? '${DEVICE_GRANT_TYPE}', false)`

/** Only operators register and change clients. */
const BY_OPERATOR = { by: 'operator' }

type Needs = Readonly<{ events: EventStore; notifications: ChangeNotifications }>

export function createClientStore(database: Database, { events, notifications }: Needs) {
  const cache = createRowCache(findClient, { table: 'oidc_client', notifications })
  return {
    /** Finds a client in the row cache, which sees a change by any instance within a second. */
    find: cache.find,
    insert: cache.invalidateAfter(insert),
    list,
    update: cache.invalidateAfter(update),
    rotateSecret: cache.invalidateAfter(rotateSecret),
    delete: cache.invalidateAfter(deleteClient),
  }
  /** @returns `taken` when another client has the client_id, `subject` when it is or was the `sub` of a person. */
  async function insert({
    clientId,
    metadata,
    secretHash,
  }: Pick<Client, 'clientId' | 'metadata' | 'secretHash'>): Promise<'inserted' | 'taken' | 'subject'> {
    try {
      const event = newEvent('client.created', { clientId, detail: BY_OPERATOR })
      await events.changeAndRecord(event, async (transaction) => {
        await transaction
          .insertInto('oidc_client')
          .values({
            client_id: clientId,
            metadata: JSON.stringify(metadata),
            secret_hash: secretHash ?? null,
            previous_secret_hash: null,
          })
          .execute()
        return true
      })
      return 'inserted'
    } catch (error) {
      if (isUniqueViolation(error, 'principal_kind')) return 'subject'
      if (isUniqueViolation(error)) return 'taken'
      throw error
    }
  }

  async function findClient(clientId: string): Promise<Client | undefined> {
    const row = await database
      .selectFrom('oidc_client')
      .selectAll()
      .where('client_id', '=', clientId)
      .executeTakeFirst()
    return row && toClient(row)
  }

  async function list(): Promise<Client[]> {
    const rows = await database
      .selectFrom('oidc_client')
      .selectAll()
      .orderBy('created_at')
      .orderBy('client_id')
      .execute()
    return rows.map(toClient)
  }

  /** @returns false when there is no such client. */
  async function update(clientId: string, metadata: Client['metadata']): Promise<boolean> {
    return await database.transaction().execute(async (transaction) => {
      const before = await transaction
        .selectFrom('oidc_client')
        .select('metadata')
        .where('client_id', '=', clientId)
        .forUpdate()
        .executeTakeFirst()
      if (!before) return false
      await transaction
        .updateTable('oidc_client')
        .set({ metadata: JSON.stringify(metadata), updated_at: sql<Date>`now()` })
        .where('client_id', '=', clientId)
        .execute()
      const changed = Object.keys({ ...before.metadata, ...metadata }).filter(
        (name) => !isDeepStrictEqual(before.metadata[name], metadata[name]),
      )
      const detail = { ...BY_OPERATOR, changed }
      await events.record([newEvent('client.updated', { clientId, detail })], transaction)
      return true
    })
  }

  /** @param overlapSeconds how long the previous secret is still accepted. @returns false when there is no such client. */
  async function rotateSecret(
    clientId: string,
    secretHash: Uint8Array,
    overlapSeconds: number,
  ): Promise<boolean> {
    const detail = { ...BY_OPERATOR, overlap_seconds: overlapSeconds }
    const event = newEvent('client.secret_rotated', { clientId, detail })
    return await events.changeAndRecord(event, async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('oidc_client')
        .set((table) => ({
          previous_secret_hash: overlapSeconds > 0 ? table.ref('secret_hash') : null,
          previous_secret_until:
            overlapSeconds > 0 ? sql<Date>`now() + make_interval(secs => ${overlapSeconds})` : null,
          secret_hash: secretHash,
          updated_at: sql<Date>`now()`,
        }))
        .where('client_id', '=', clientId)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    })
  }

  /** Deletes a client with its grants and tokens. @returns false when there is no such client. */
  async function deleteClient(clientId: string): Promise<boolean> {
    const event = newEvent('client.deleted', { clientId, detail: BY_OPERATOR })
    return await events.changeAndRecord(event, async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('oidc_client')
        .where('client_id', '=', clientId)
        .executeTakeFirst()
      await transaction
        .deleteFrom('oidc_token')
        .where('client_id', '=', clientId)
        .where('grant_id', 'is', null)
        .execute()
      return numDeletedRows > 0n
    })
  }
}

function toClient(row: Selectable<ClientTable>): Client {
  return {
    clientId: row.client_id,
    metadata: row.metadata,
    secretHash: row.secret_hash ?? undefined,
    previousSecret:
      row.previous_secret_hash && row.previous_secret_until
        ? { hash: row.previous_secret_hash, until: row.previous_secret_until }
        : undefined,
    createdAt: row.created_at,
  }
}
