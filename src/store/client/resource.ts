import type { ChangeNotifications } from '../../db/change-notification.ts'
import type { Database } from '../../db/connections.ts'
import { isUniqueViolation } from '../../db/database-error.ts'
import { toFields } from '../../db/prepared-statement.ts'
import { createRowCache } from '../../db/row-cache.ts'

/** A resource server: an API for which clients request access tokens (RFC 8707). */
export type Resource = Readonly<{
  identifier: string
  /** The space-separated scopes of the API. */
  scope: string
  format: 'jwt' | 'opaque'
  signingAlg: 'RS256' | 'ES256' | 'EdDSA'
  /** undefined: the server's default. */
  accessTokenSeconds: number | undefined
  introspectionClientIds: readonly string[]
  createdAt: Date
}>

export type ResourceStore = ReturnType<typeof createResourceStore>

export function createResourceStore(database: Database, notifications: ChangeNotifications) {
  const cache = createRowCache(findResource, { table: 'resource', notifications })
  return {
    /** Finds a resource in the row cache, which sees a change by any instance within a second. */
    find: cache.find,
    insert: cache.invalidateAfter(insert),
    list,
    delete: cache.invalidateAfter(deleteResource),
  }
  /** @returns false when the identifier is taken. */
  async function insert(resource: Omit<Resource, 'createdAt'>): Promise<boolean> {
    try {
      await database
        .insertInto('resource')
        .values({
          identifier: resource.identifier,
          scope: resource.scope,
          format: resource.format,
          signing_alg: resource.signingAlg,
          access_token_seconds: resource.accessTokenSeconds ?? null,
          introspection_client_ids: [...resource.introspectionClientIds],
        })
        .execute()
      return true
    } catch (error) {
      if (isUniqueViolation(error)) return false
      throw error
    }
  }

  async function findResource(identifier: string): Promise<Resource | undefined> {
    const row = await database
      .selectFrom('resource')
      .selectAll()
      .where('identifier', '=', identifier)
      .executeTakeFirst()
    return row && toFields(row)
  }

  async function list(): Promise<Resource[]> {
    const rows = await database.selectFrom('resource').selectAll().orderBy('identifier').execute()
    return rows.map(toFields)
  }

  /** @returns false when there is no such resource. */
  async function deleteResource(identifier: string): Promise<boolean> {
    const { numDeletedRows } = await database
      .deleteFrom('resource')
      .where('identifier', '=', identifier)
      .executeTakeFirst()
    return numDeletedRows > 0n
  }
}
