import { describeGranted, words } from '../../oidc/client/scopes.ts'
import type { Account } from '../../store/account/account.ts'
import type { Connection, ConnectionStore } from '../../store/session/connection.ts'
import type { RememberedBrowserStore } from '../../store/session/remembered-browser.ts'
import type { SessionStore } from '../../store/session/session.ts'
import type { Pages } from '../../ui/view-models.ts'
import { parseUserAgent } from '../pages/user-agent.ts'

type Needs = {
  sessions: SessionStore
  rememberedBrowsers: RememberedBrowserStore
  connections: ConnectionStore
}

/** A page with more is of use to nobody. */
const MOST_DEVICES = 50

export type AccountOverview = ReturnType<typeof createAccountOverview>

/** Everything that is signed in or connected in a person's name, in words. */
export function createAccountOverview({ sessions, rememberedBrowsers, connections }: Needs) {
  return {
    async describe(
      { sub, username, email, emailVerified }: Account,
      thisSessionUid: string,
    ): Promise<Omit<Pages['account'], 'csrf' | 'done' | 'emailChange'>> {
      const [browsers, remembered, connected] = await Promise.all([
        sessions.listOf(sub),
        rememberedBrowsers.listOf(sub),
        connections.listOf(sub, MOST_DEVICES),
      ])
      const inUse = new Set(browsers.map(({ rememberedId }) => rememberedId))
      return {
        username,
        email,
        emailVerified,
        browsers: browsers.map(({ uid, rememberedId, address, userAgent, startedAt, seenAt }) => ({
          id: uid,
          ...parseUserAgent(userAgent),
          address,
          since: startedAt,
          seen: seenAt,
          isThis: uid === thisSessionUid,
          rememberedUntil: remembered.find(({ id }) => id === rememberedId)?.expiresAt,
        })),
        remembered: remembered
          .filter(({ id }) => !inUse.has(id))
          .map(({ id, address, userAgent, createdAt, usedAt, expiresAt }) => ({
            id,
            ...parseUserAgent(userAgent),
            address,
            since: createdAt,
            seen: usedAt,
            isThis: false,
            rememberedUntil: expiresAt,
          })),
        devices: connected.connections.flatMap((connection) =>
          connection.grantId === undefined
            ? []
            : [
                {
                  id: connection.grantId,
                  ...describeConnection(connection),
                  usedAt: connection.usedAt,
                  approvedIn: parseUserAgent(connection.userAgent),
                  approvedFrom: connection.address,
                },
              ],
        ),
        deviceCount: connected.deviceCount,
        apps: connected.connections
          .filter(({ grantId }) => grantId === undefined)
          .map((connection) => ({
            id: connection.clientId,
            ...describeConnection(connection),
            host: hostOf(connection.metadata.client_uri),
            isFirstParty: connection.metadata.first_party === true,
          })),
      }
    },

    async hasBrowser(sub: string, uid: string): Promise<boolean> {
      return (await sessions.listOf(sub)).some((browser) => browser.uid === uid)
    },

    async hasRemembered(sub: string, id: string): Promise<boolean> {
      return (await rememberedBrowsers.listOf(sub)).some((browser) => browser.id === id)
    },

    /** The client of a person's device, if they have it. */
    findDeviceClient: (sub: string, grantId: string) => connections.findDeviceClient(sub, grantId),

    async hasApp(sub: string, clientId: string): Promise<boolean> {
      const { connections: connected } = await connections.listOf(sub, 0)
      return connected.some(
        (connection) => connection.grantId === undefined && connection.clientId === clientId,
      )
    },
  }
}

function describeConnection({ clientId, metadata, grants, since }: Connection) {
  const name = typeof metadata.client_name === 'string' ? metadata.client_name : clientId
  // Scopes that the client lost since they were granted are not shown.
  const registered = words(String(metadata.scope ?? ''))
  const may = describeGranted(grants).filter(({ scope }) => registered.includes(scope))
  return { name, since, may }
}

function hostOf(uri: unknown): string | undefined {
  return typeof uri === 'string' ? URL.parse(uri)?.host : undefined
}
