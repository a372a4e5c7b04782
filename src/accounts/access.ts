import { newEvent, type Origin } from '../audit/event.ts'
import type { Revocation, RevocationCause, RevokedCount } from '../store/revocation/revocation.ts'
import type { Connection, Connections } from '../store/session/connection.ts'
import type { RememberedBrowser } from '../store/session/remembered-browser.ts'
import type { SignedInBrowser } from '../store/session/session.ts'
import type { Stores } from '../store/stores.ts'

type Needs = Pick<Stores, 'sessions' | 'rememberedBrowsers' | 'connections' | 'revocations'>

/** A device has a grant of its own, by which it is identified. */
export type Device = Connection & { grantId: string }

/** Browsers, devices and apps with access to an account. */
export type Access = Readonly<{
  browsers: readonly SignedInBrowser[]
  remembered: readonly RememberedBrowser[]
  devices: readonly Device[]
  /** All devices, listed or not. */
  deviceCount: number
  apps: readonly Connection[]
}>

/** One item of {@link Access}, by its kind and identifier. */
export type AccessItem = Readonly<{ kind: 'browser' | 'remembered' | 'device' | 'app'; id: string }>

/** The actor of a revocation; an operator has no origin. */
type Actor = Readonly<{ by: 'person' | 'operator'; origin?: Origin }>

export type AccountAccess = ReturnType<typeof createAccountAccess>

/** Lists the access to an account and revokes single items (OWASP ASVS 7.5.2). */
export function createAccountAccess({ sessions, rememberedBrowsers, connections, revocations }: Needs) {
  return {
    /** @param mostDevices the latest devices that are listed; `deviceCount` counts all. */
    async list(sub: string, mostDevices: number): Promise<Access> {
      const [browsers, remembered, connected] = await Promise.all([
        sessions.listOf(sub),
        rememberedBrowsers.listOf(sub),
        connections.listOf(sub, mostDevices),
      ])
      const { deviceCount } = connected
      return {
        browsers,
        remembered,
        devices: connected.connections.filter(isDevice),
        deviceCount,
        apps: appsIn(connected),
      }
    },

    /**
     * Finds an item of this account.
     *
     * @returns what revokes it, and how much that revokes; undefined when the account has no such item.
     */
    async find(sub: string, { kind, id }: AccessItem, { by, origin }: Actor) {
      const cause: RevocationCause = { reason: 'signed_out_elsewhere', by, ...(origin && { origin }) }
      const detail = { by }
      switch (kind) {
        case 'browser': {
          const found = (await sessions.listOf(sub)).some(({ uid }) => uid === id)
          return found ? revocationOf({ kind: 'session', uid: id, cause }, { sessions: 1 }) : undefined
        }
        case 'remembered': {
          const found = (await rememberedBrowsers.listOf(sub)).some((browser) => browser.id === id)
          return found ? revocationOf({ kind: 'browser', id, cause }, { browsers: 1 }) : undefined
        }
        case 'device': {
          const clientId = await connections.findDeviceClient(sub, id)
          if (clientId === undefined) return undefined
          const event = newEvent('token.revoked', { accountSub: sub, grantId: id, clientId, detail }, origin)
          return revocationOf({ kind: 'grant', grantId: id, event }, { grants: 1 })
        }
        case 'app': {
          const found = appsIn(await connections.listOf(sub, 0)).some(({ clientId }) => clientId === id)
          if (!found) return undefined
          const event = newEvent('consent.withdrawn', { accountSub: sub, clientId: id, detail }, origin)
          return revocationOf({ kind: 'consent', accountSub: sub, clientId: id, event }, { grants: 1 })
        }
      }
    },
  }

  function revocationOf(revocation: Revocation, revoked: Partial<RevokedCount>) {
    return {
      revoke: () => revocations.revoke(revocation),
      revoked: { sessions: 0, browsers: 0, grants: 0, ...revoked },
    }
  }
}

function isDevice(connection: Connection): connection is Device {
  return connection.grantId !== undefined
}

function appsIn({ connections }: Connections): Connection[] {
  return connections.filter((connection) => !isDevice(connection))
}
