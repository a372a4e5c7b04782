import { z } from 'zod'
import { newEvent } from '../audit/event.ts'
import type { Cause, Ended, Ending } from '../store/revocation/revocation.ts'
import type { ConnectionStore } from '../store/session/connection.ts'
import type { RememberedBrowserStore } from '../store/session/remembered-browser.ts'
import type { SessionStore } from '../store/session/session.ts'
import { AdminError } from './admin-error.ts'

/** One thing to end: at most one of these. */
export const accessPart = z.strictObject({
  session: z.string().optional(),
  browser: z.string().optional(),
  device: z.string().optional(),
  app: z.string().optional(),
})

/** What is signed in or connected in a person's name. */
export type AccessDocument = {
  sessions: {
    session: string
    user_agent: string | undefined
    address: string | undefined
    started_at: string
    seen_at: string
    remembered_browser: string | undefined
  }[]
  remembered_browsers: {
    remembered_browser: string
    user_agent: string | undefined
    address: string | undefined
    used_at: string
    expires_at: string
  }[]
  devices: { grant: string; client_id: string; since: string; used_at: string | undefined }[]
  apps: { client_id: string; since: string; used_at: string | undefined }[]
}

export type AccessNeeds = {
  sessions: SessionStore
  rememberedBrowsers: RememberedBrowserStore
  connections: ConnectionStore
  end: (ending: Ending) => Promise<void>
}

/** More than anybody has who is not being flooded. */
const MOST_DEVICES = 10_000

const BY_OPERATOR = { by: 'operator' }
const NOTHING: Ended = { sessions: 0, browsers: 0, grants: 0 }

export function createAccessAdmin({ sessions, rememberedBrowsers, connections, end }: AccessNeeds) {
  return {
    async describe(sub: string): Promise<AccessDocument> {
      const [signedIn, remembered, connected] = await Promise.all([
        sessions.listOf(sub),
        rememberedBrowsers.listOf(sub),
        connections.listOf(sub, MOST_DEVICES),
      ])
      return {
        sessions: signedIn.map(({ uid, userAgent, address, startedAt, seenAt, rememberedId }) => ({
          session: uid,
          user_agent: userAgent,
          address,
          started_at: startedAt.toISOString(),
          seen_at: seenAt.toISOString(),
          remembered_browser: rememberedId,
        })),
        remembered_browsers: remembered.map(({ id, userAgent, address, usedAt, expiresAt }) => ({
          remembered_browser: id,
          user_agent: userAgent,
          address,
          used_at: usedAt.toISOString(),
          expires_at: expiresAt.toISOString(),
        })),
        devices: connected.connections.flatMap(({ grantId, clientId, since, usedAt }) =>
          grantId === undefined
            ? []
            : [
                {
                  grant: grantId,
                  client_id: clientId,
                  since: since.toISOString(),
                  used_at: usedAt?.toISOString(),
                },
              ],
        ),
        apps: connected.connections
          .filter(({ grantId }) => grantId === undefined)
          .map(({ clientId, since, usedAt }) => ({
            client_id: clientId,
            since: since.toISOString(),
            used_at: usedAt?.toISOString(),
          })),
      }
    },

    /** Ends one thing of a person, and nothing of anybody else. @throws {AdminError} when it is not theirs. */
    async end(sub: string, part: z.output<typeof accessPart>): Promise<Ended> {
      const [[what, id = ''] = [''], ...more] = Object.entries(part)
      if (more.length > 0) throw new AdminError('Name one thing to end, or nothing for all of it.')
      const access = await this.describe(sub)
      const cause: Cause = { reason: 'signed_out_elsewhere', by: 'operator' }
      if (access.sessions.some(({ session }) => session === part.session)) {
        await end({ what: 'session', uid: id, cause })
        return { ...NOTHING, sessions: 1 }
      }
      if (access.remembered_browsers.some(({ remembered_browser }) => remembered_browser === part.browser)) {
        await end({ what: 'browser', id, cause })
        return { ...NOTHING, browsers: 1 }
      }
      const device = access.devices.find(({ grant }) => grant === part.device)
      if (device) {
        const about = { accountSub: sub, clientId: device.client_id, grantId: id, detail: BY_OPERATOR }
        await end({ what: 'grant', grantId: id, event: newEvent('token.revoked', about) })
        return { ...NOTHING, grants: 1 }
      }
      if (access.apps.some(({ client_id }) => client_id === part.app)) {
        const about = { accountSub: sub, clientId: id, detail: BY_OPERATOR }
        const event = newEvent('consent.withdrawn', about)
        await end({
          what: 'consent',
          sub,
          clientId: id,
          cause: { ...cause, reason: 'consent_withdrawn' },
          event,
        })
        return { ...NOTHING, grants: 1 }
      }
      throw new AdminError(`This person has no ${what} ${id}.`)
    },
  }
}
