import { isDeepStrictEqual } from 'node:util'
import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider'
import type { Ending } from '../../store/ending.ts'
import { isForeignKeyViolation } from '../../store/fault.ts'
import type { Payload } from '../../store/schema.ts'
import type { SessionStore } from '../../store/session.ts'
import { sha256, type Vault } from '../../vault.ts'
import { endOfflineGrants } from '../logout.ts'
import { currentUnit, rememberSession } from '../unit-of-work.ts'
import { expiryOf, withoutId } from './payload.ts'

/** A session's expiry moves with every request; it is written this often at most … */
const EXPIRY_STEP_SECONDS = 60
/** … and more often where sessions are short, so that nobody loses more than this part of the idle time. */
const EXPIRY_STEP_PART = 0.1

type Needs = { sessions: SessionStore; end: (ending: Ending) => Promise<void>; vault: Vault }

export function sessionAdapter({ sessions, end, vault }: Needs): Partial<Adapter> {
  const purpose = 'session state'
  const seal = ({ state, ...payload }: Payload): Payload =>
    state === undefined
      ? payload
      : { ...payload, state: vault.seal(JSON.stringify(state), purpose).toString('base64') }
  const open = ({ state, ...payload }: Payload): AdapterPayload =>
    typeof state === 'string'
      ? { ...payload, state: JSON.parse(vault.open(Buffer.from(state, 'base64'), purpose)) }
      : payload

  return {
    async upsert(id, payload) {
      const { uid, accountId } = payload
      if (typeof uid !== 'string') throw new TypeError('a session has a uid')
      const stored = currentUnit()?.read.storedSessions.get(id)
      if (stored && isOnlyLater(stored, withoutId(payload))) return
      try {
        await sessions.upsert({
          idHash: sha256(id),
          uid,
          accountSub: accountId,
          payload: seal(withoutId(payload)),
          expiresAt: expiryOf(payload),
        })
      } catch (error) {
        // The person was deleted while this request ran: there is nobody left to remember.
        if (!isForeignKeyViolation(error)) throw error
      }
    },

    async find(id) {
      const found = await sessions.find(sha256(id))
      if (!found) return undefined
      const payload = open(found.payload)
      const unit = currentUnit()
      unit?.read.storedSessions.set(id, structuredClone(payload))
      if (unit) rememberSession(unit, found)
      return { ...payload, jti: id }
    },

    async findByUid(uid) {
      const read = currentUnit()?.read.sessions
      const payload = read?.has(uid) ? structuredClone(read.get(uid)) : await sessions.findByUid(uid)
      return payload && open(payload)
    },

    async destroy(id) {
      const { ctx } = Provider
      // The engine destroys a session's old row when its id rotates too.
      if (ctx?.oidc?.route === 'end_session_confirm' && ctx.oidc.params?.logout)
        await endOfflineGrants(ctx, end)
      await sessions.end(sha256(id))
    },
  }
}

/** Nothing of the session changed but its end, and that by little. */
function isOnlyLater({ exp: before, ...stored }: Payload, { exp: after, ...changed }: Payload): boolean {
  if (typeof before !== 'number' || typeof after !== 'number') return false
  const step = Math.min(EXPIRY_STEP_SECONDS, (after - Date.now() / 1000) * EXPIRY_STEP_PART)
  // Through JSON, as it would be stored: a member that is undefined is none.
  return (
    after >= before && after - before < step && isDeepStrictEqual(stored, JSON.parse(JSON.stringify(changed)))
  )
}
