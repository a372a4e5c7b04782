import { isDeepStrictEqual } from 'node:util'
import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider'
import type { Ending } from '../../store/ending.ts'
import { type NewEvent, NO_ORIGIN, newEvent } from '../../store/event.ts'
import { isForeignKeyViolation } from '../../store/fault.ts'
import type { Payload } from '../../store/schema.ts'
import type { FoundSession, SessionStore } from '../../store/session.ts'
import { TooManySessionsError } from '../../store/session-count.ts'
import type { Clock } from '../../time.ts'
import { sha256, type Vault } from '../../vault.ts'
import { provenEpoch } from '../access-epoch.ts'
import {
  countsFor,
  isOverFor,
  type SessionLimits,
  shortestIdleSeconds,
  tooManySessions,
} from '../session-limits.ts'
import { isRemembered, oddityOf, startOf } from '../session-use.ts'
import { currentUnit, rememberSession, storedSession } from '../unit-of-work.ts'
import { expiryOf, fromStored, toStored } from './payload.ts'

/** A session's expiry moves with every request; it is written this often at most … */
const EXPIRY_STEP_SECONDS = 60
/** … and more often where sessions are short, so that nobody loses more than this part of the idle time. */
const EXPIRY_STEP_PART = 0.1
/** The engine lets a session live this much longer, for clocks that differ. */
const TOLERANCE_SECONDS = 15
const PURPOSE = 'session state'

type Needs = {
  sessions: SessionStore
  end: (ending: Ending) => Promise<void>
  limits: SessionLimits
  vault: Vault
  now: Clock
}

export function sessionAdapter({ sessions, end, limits, vault, now }: Needs): Partial<Adapter> {
  const seal = ({ state, ...payload }: Payload, idHash: Uint8Array): Payload =>
    state === undefined
      ? payload
      : { ...payload, state: vault.seal(JSON.stringify(state), PURPOSE, [idHash]).toString('base64') }
  const open = ({ state, ...payload }: Payload, idHash: Uint8Array): AdapterPayload => {
    const opened =
      typeof state === 'string' ? vault.find(Buffer.from(state, 'base64'), PURPOSE, [idHash]) : undefined
    return opened === undefined ? payload : { ...payload, state: JSON.parse(opened) }
  }

  return {
    async upsert(id, payload) {
      const { uid, accountId } = payload
      if (typeof uid !== 'string') throw new TypeError('a session has a uid')
      const unit = currentUnit()
      const { requestId, address, userAgent } = unit?.origin ?? NO_ORIGIN
      const stored = unit?.read.storedSessions.get(id)
      const before = stored ?? storedSession(uid)
      const events = eventsOf(payload, before)
      if (stored && events.length === 0 && isOnlyLater(stored.payload, toStored(payload))) return
      try {
        const idHash = sha256(id)
        const session = {
          idHash,
          uid,
          accountSub: accountId,
          accessEpoch: provenEpoch(accountId),
          payload: seal(toStored(payload), idHash),
          expiresAt: expiryOf(toStored(payload)),
          address,
          userAgent,
          rememberedId: unit?.browser.rememberedId,
          seenAt: now(),
          replaces: replacedBy(uid),
        }
        const recorded = events.map((event) => sameAgain({ ...event, requestId, address, userAgent }))
        const counts = countsFor(newnessOf(payload, before), limits)
        if (accountId === undefined || counts.length === 0) return await sessions.upsert(session, recorded)
        const cause = { reason: 'session_limit', by: 'server', origin: unit?.origin ?? NO_ORIGIN } as const
        const limit = { counts, whenFull: limits.whenFull, cause }
        await sessions.upsertWithin({ ...session, accountSub: accountId }, recorded, limit)
      } catch (error) {
        if (error instanceof TooManySessionsError) throw tooManySessions()
        // The person was deleted while this request ran: there is nobody left to remember.
        if (!isForeignKeyViolation(error)) throw error
      }
    },

    async find(id) {
      const idHash = sha256(id)
      const found = await sessions.find(idHash)
      if (!found || (found.isEnded && found.isReplaced)) return undefined
      await noteMisuse(id, found)
      if (found.isEnded) return undefined
      const payload = open(found.payload, idHash)
      const unit = currentUnit()
      unit?.read.storedSessions.set(id, { ...found, payload: structuredClone(payload) })
      if (unit) rememberSession(unit, found)
      return { ...fromStored(payload), jti: id }
    },

    async findByUid(uid) {
      const read = currentUnit()?.read.sessions.get(uid)
      const state = read ? read.state : await sessions.findByUid(uid)
      if (!state) return undefined
      const { accountId } = state.payload
      if (typeof accountId === 'string') currentUnit()?.accessEpochs.set(accountId, state.accessEpoch)
      // A client that asked for shorter sessions has its tokens end with those.
      const client = read && (await Provider.ctx?.oidc.provider.Client.find(read.clientId))
      if (isOverFor(client, state, now())) return undefined
      // What the engine's forms keep in a session is opened for the cookie alone.
      const { state: _sealed, ...payload } = structuredClone(state.payload)
      return fromStored(payload)
    },

    async destroy(id) {
      const { ctx } = Provider
      const isLogout = ctx?.oidc?.route === 'end_session_confirm' && ctx.oidc.params?.logout
      const uid = ctx?.oidc?.session?.uid
      // The engine destroys a session's old row when its identifier is replaced, too, just before it stores the new
      // one. Both are done by one statement: nobody who ends the session meanwhile finds neither.
      const stored = currentUnit()?.read.storedSessions.get(id)
      if (!isLogout && stored) {
        currentUnit()?.read.storedSessions.set(id, { ...stored, isReplaced: true })
        return
      }
      if (!isLogout || uid === undefined) return await sessions.retire(sha256(id))
      const origin = currentUnit()?.origin ?? NO_ORIGIN
      await end({ what: 'session', uid, cause: { reason: 'signed_out', by: 'person', origin } })
    },
  }

  function eventsOf(
    { uid, accountId, amr, acr }: AdapterPayload,
    before: FoundSession | undefined,
  ): NewEvent[] {
    if (!accountId) return []
    const about = { accountSub: accountId, sessionUid: uid }
    if (before?.payload.accountId !== accountId) {
      const type = isRemembered({ amr }) ? 'session.remembered' : 'session.created'
      return [newEvent(type, { ...about, detail: { amr, acr } })]
    }
    const oddity = oddityOf(before, currentUnit()?.origin ?? NO_ORIGIN, now())
    const detail = { address_before: before.address, user_agent_before: before.userAgent }
    return oddity ? [newEvent(oddity, { ...about, detail })] : []
  }

  /** The engine stores a session again when it could not be stored, or nobody knows whether it was. */
  function sameAgain(event: NewEvent): NewEvent {
    const { sessionEvents } = currentUnit() ?? {}
    const key = `${event.type} ${event.sessionUid}`
    const same = sessionEvents?.get(key) ?? event
    sessionEvents?.set(key, same)
    return same
  }

  /** The identifier that the session of this request gives up for another. */
  function replacedBy(uid: string): Uint8Array | undefined {
    const stored = [...(currentUnit()?.read.storedSessions ?? [])]
    const [id] = stored.find(([, session]) => session.uid === uid && session.isReplaced) ?? []
    return id === undefined ? undefined : sha256(id)
  }

  /** Whether a session is new to its person, and to the client that it is used for just now. */
  function newnessOf(payload: AdapterPayload, before: FoundSession | undefined) {
    const { client } = Provider.ctx?.oidc ?? {}
    const hasGrant = (authorizations: unknown) =>
      client !== undefined &&
      (authorizations as AdapterPayload['authorizations'])?.[client.clientId]?.grantId !== undefined
    const isNewToClient = hasGrant(payload.authorizations) && !hasGrant(before?.payload.authorizations)
    return {
      isNew: payload.accountId !== undefined && before?.payload.accountId !== payload.accountId,
      newClient: isNewToClient ? client : undefined,
    }
  }

  /** Somebody uses a session that is over: its owner, whose browser forgot to forget it, or who holds a copy. */
  async function noteMisuse(id: string, { isEnded, uid, payload, account }: FoundSession): Promise<void> {
    const nowSeconds = now().getTime() / 1000
    const isExpired = Number(payload.exp) + TOLERANCE_SECONDS < nowSeconds
    if (!account || (!isEnded && !isExpired)) return
    const type = isEnded ? 'session.used_after_end' : 'session.used_after_expiry'
    const limit = startOf(payload) + limits.sessionAbsoluteSeconds <= nowSeconds ? 'absolute' : 'idle'
    const about = { accountSub: account.sub, sessionUid: uid, ...(isEnded ? {} : { detail: { limit } }) }
    await sessions.recordMisuse(sha256(id), newEvent(type, about, currentUnit()?.origin))
  }

  /** Nothing of the session changed but its end, and that by little. */
  function isOnlyLater({ exp: before, ...stored }: Payload, { exp: after, ...changed }: Payload): boolean {
    if (typeof before !== 'number' || typeof after !== 'number') return false
    const idle = Math.min(
      after - now().getTime() / 1000,
      shortestIdleSeconds(Provider.ctx?.oidc?.client, limits),
    )
    const step = Math.min(EXPIRY_STEP_SECONDS, idle * EXPIRY_STEP_PART)
    // Through JSON, as it would be stored: a member that is undefined is none.
    return (
      after >= before &&
      after - before < step &&
      isDeepStrictEqual(stored, JSON.parse(JSON.stringify(changed)))
    )
  }
}
