import { isDeepStrictEqual } from 'node:util'
import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../audit/event.ts'
import { sha256, type Vault } from '../../crypto/vault.ts'
import { isForeignKeyViolation } from '../../db/database-error.ts'
import type { Payload } from '../../db/schema.ts'
import type { Revocations } from '../../store/revocation/revocation.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import type { SessionStore } from '../../store/session/session.ts'
import { TooManySessionsError } from '../../store/session/session-limit.ts'
import type { Session } from '../../store/session/session-upsert.ts'
import { MINUTE_SECONDS } from '../../time.ts'
import { currentRequest, type RequestContext } from '../engine/request-context.ts'
import { provenEpoch } from '../session/access-epoch.ts'
import {
  countsFor,
  isOverFor,
  type SessionLimits,
  shortestIdleSeconds,
  tooManySessions,
} from '../session/session-limits.ts'
import { isRemembered, oddityOf, startOf } from '../session/session-use.ts'
import { expiryOf, fromStored, toStored } from './payload.ts'

/** Each use extends a session; the new expiry is stored at most this often … */
const EXPIRY_STEP_SECONDS = 60
/** … and more often for short sessions, so that at most this part of the idle time is lost. */
const EXPIRY_STEP_PART = 0.1
/** How long requests in flight may still read a replaced session. */
const READABLE_SECONDS = 10
/**
 * How long requests with a replaced identifier leave the browser's cookie alone, because they were sent before the
 * browser had the new one. A browser that never received the new identifier needs another session after that, for the
 * forms of the engine.
 */
const OUTDATED_SECONDS = 10 * MINUTE_SECONDS
const PURPOSE = 'session state'

type Needs = {
  sessions: SessionStore
  revocations: Pick<Revocations, 'revoke'>
  limits: SessionLimits
  vault: Vault
}

export function sessionAdapter({ sessions, revocations, limits, vault }: Needs): Partial<Adapter> {
  const seal = ({ state, ...payload }: Payload, idHash: Uint8Array): Payload =>
    state === undefined
      ? payload
      : { ...payload, state: vault.seal(JSON.stringify(state), PURPOSE, [idHash]).toString('base64') }
  const open = ({ state, ...payload }: Payload, idHash: Uint8Array): AdapterPayload => {
    const opened =
      typeof state === 'string' ? vault.tryOpen(Buffer.from(state, 'base64'), PURPOSE, [idHash]) : undefined
    return opened === undefined ? payload : { ...payload, state: JSON.parse(opened) }
  }

  return {
    async upsert(id, payload) {
      const { uid, accountId } = payload
      if (typeof uid !== 'string') throw new TypeError('a session has a uid')
      const { origin, browser } = currentRequest()
      const { requestId, address, userAgent } = origin
      // An anonymous session would replace the newer one that the browser has.
      if (browser.isOutdated && accountId === undefined) return
      const stored = browser.findSession(id)
      const before = stored ?? browser.findSessionByUid(uid)
      const events = eventsOf(payload, before)
      const next = capped(toStored(payload))
      // The cookie expires with the row, so both are extended together.
      const isExtended = !stored || movesExpiry(stored, next)
      if (stored && !isExtended) {
        next.exp = stored.payload.exp
        if (events.length === 0 && isSame(stored.payload, next)) return
      }
      try {
        const idHash = sha256(id)
        const accessEpoch = provenEpoch(accountId)
        const session = {
          idHash,
          uid,
          accountSub: accountId,
          accessEpoch,
          payload: seal(next, idHash),
          expiresAt: expiryOf(next),
          address,
          userAgent,
          rememberedId: accountId === undefined ? undefined : browser.rememberedId,
          replaces: replacedBy(payload, accessEpoch),
        }
        const recorded = events.map((event) =>
          browser.recordEvent({ ...event, requestId, address, userAgent }),
        )
        const counts = countsFor(newnessOf(payload, before), limits)
        const cause = { reason: 'session_limit', by: 'server', origin } as const
        const limit = { counts, whenFull: limits.whenFull, cause }
        const isStored =
          accountId === undefined || counts.length === 0
            ? await sessions.upsert(session, recorded)
            : await sessions.upsertWithin({ ...session, accountSub: accountId }, recorded, limit)
        if (isStored && isExtended) browser.allowCookie(id)
        if (!isStored) await addAuthorizations(payload, before, accessEpoch)
      } catch (error) {
        if (error instanceof TooManySessionsError) throw tooManySessions()
        // The person was deleted while this request ran: there is nobody left to remember.
        if (!isForeignKeyViolation(error)) throw error
      }
    },

    async find(id) {
      const idHash = sha256(id)
      const request = currentRequest()
      const found = await sessions.find(idHash)
      if (!found) return undefined
      if (isOutdated(found, request)) request.browser.markOutdated()
      if (!isReadable(found, request)) {
        if (!found.isReplaced) await noteMisuse(id, found)
        if (found.isEnded) return undefined
      }
      if (isExpired(found)) return undefined
      const payload = open(found.payload, idHash)
      request.recordSession(id, { ...found, payload: structuredClone(payload) })
      return { ...fromStored(payload, found), jti: id }
    },

    async findByUid(uid) {
      const request = currentRequest()
      const read = request.findTokenSession(uid)
      const state = read ? read.state : await sessions.findByUid(uid)
      if (!state) return undefined
      const { accountId } = state.payload
      if (typeof accountId === 'string') request.recordProof(accountId, state.accessEpoch)
      // A client that asked for shorter sessions has its tokens end with those.
      const client = read && (await Provider.ctx?.oidc.provider.Client.find(read.clientId))
      if (isOverFor(client, state, limits)) return undefined
      // Form state is opened only for the cookie's holder.
      const { state: _sealed, ...payload } = structuredClone(state.payload)
      return fromStored(payload, { isExpired: false })
    },

    async destroy(id) {
      const { ctx } = Provider
      const isLogout = ctx?.oidc?.route === 'end_session_confirm' && ctx.oidc.params?.logout
      const uid = ctx?.oidc?.session?.uid
      // The engine destroys a session's old row when its identifier is replaced, too, just before it stores the new
      // one. Both are done by one statement: nobody who ends the session meanwhile finds neither.
      const { origin, browser } = currentRequest()
      if (!isLogout && browser.findSession(id)) return browser.recordReplacement(id)
      if (!isLogout || uid === undefined) return await sessions.retire(sha256(id))
      const cause = { reason: 'signed_out', by: 'person', origin } as const
      await revocations.revoke({ kind: 'session', uid, cause })
    },
  }

  /** Whether a session reached its stored end, or the end by limits that were shortened since. */
  function isExpired(found: FoundSession): boolean {
    return found.isExpired || isOverFor(undefined, found, limits)
  }

  /** Ends a session at its cap: the engine would extend every session by at least a second. */
  function capped(state: Payload): Payload {
    return { ...state, exp: Math.min(Number(state.exp), capOf(state)) }
  }

  /** The absolute end of a session; anonymous sessions have none. */
  function capOf(state: Payload): number {
    return state.accountId === undefined
      ? Number.POSITIVE_INFINITY
      : startOf(state) + limits.sessionAbsoluteSeconds
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
    const oddity = oddityOf(before, currentRequest().origin)
    const detail = { address_before: before.address, user_agent_before: before.userAgent }
    return oddity ? [newEvent(oddity, { ...about, detail })] : []
  }

  /**
   * The identifier that a session replaces. Its requests in flight may still read for the same person, unless the
   * access epoch was raised: the replacement may be meant to shut them out.
   */
  function replacedBy({ accountId }: AdapterPayload, accessEpoch: number | undefined): Session['replaces'] {
    const { browser } = currentRequest()
    if (browser.replaces === undefined) return undefined
    const before = browser.findSession(browser.replaces)
    const isSamePerson = accountId !== undefined && before?.payload.accountId === accountId
    const readableSeconds = isSamePerson && before?.accessEpoch === accessEpoch ? READABLE_SECONDS : 0
    return { idHash: sha256(browser.replaces), readableSeconds }
  }

  /**
   * Whether the request's session identifier was replaced or ended during the request, or so recently that the browser
   * may not have the new one.
   */
  function isOutdated({ isReplaced, endedAt, readAt }: FoundSession, { arrivedAt }: RequestContext): boolean {
    if (endedAt === undefined) return false
    const outdatedUntil = endedAt.getTime() + OUTDATED_SECONDS * 1000
    return endedAt > arrivedAt || (isReplaced && readAt.getTime() < outdatedUntil)
  }

  /**
   * The session continues under a new identifier: adds the clients that this request authorized, so that their codes
   * can be redeemed.
   */
  async function addAuthorizations(
    { uid = '', accountId, authorizations = {} }: AdapterPayload,
    before: FoundSession | undefined,
    accessEpoch: number | undefined,
  ): Promise<void> {
    const known = new Set(Object.keys(before?.payload.authorizations ?? {}))
    const added = Object.entries(authorizations).filter(([clientId]) => !known.has(clientId))
    if (accountId === undefined || added.length === 0) return
    await sessions.addAuthorizations({
      uid,
      accountSub: accountId,
      accessEpoch,
      authorizations: Object.fromEntries(added),
    })
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

  /**
   * Records the use of a session that has ended or expired: by a browser that kept the cookie, or with a stolen copy.
   */
  async function noteMisuse(id: string, found: FoundSession): Promise<void> {
    const { isEnded, uid, payload, account, readAt } = found
    if (!account || (!isEnded && !isExpired(found))) return
    const type = isEnded ? 'session.used_after_end' : 'session.used_after_expiry'
    const limit = capOf(payload) <= readAt.getTime() / 1000 ? 'absolute' : 'idle'
    const about = { accountSub: account.sub, sessionUid: uid, ...(isEnded ? {} : { detail: { limit } }) }
    await sessions.recordMisuse(sha256(id), newEvent(type, about, currentRequest().origin))
  }

  /** Whether a new expiry, or the time of use, must be stored. */
  function movesExpiry(stored: FoundSession, { exp: after }: Payload): boolean {
    const { exp: before } = stored.payload
    if (typeof before !== 'number' || typeof after !== 'number') return true
    const readAt = stored.readAt.getTime() / 1000
    const idle = Math.min(after - readAt, shortestIdleSeconds(Provider.ctx?.oidc?.client, limits))
    const step = Math.min(EXPIRY_STEP_SECONDS, idle * EXPIRY_STEP_PART)
    // Near the cap the expiry no longer moves, but the time of use matters for clients with a short idle time.
    const isUnnoted = readAt - stored.seenAt.getTime() / 1000 >= step
    return after < before || after - before >= step || isUnnoted
  }
}

/** Compares in the stored form (JSON), which drops undefined members. */
function isSame(stored: Payload, changed: Payload): boolean {
  return isDeepStrictEqual(stored, JSON.parse(JSON.stringify(changed)))
}

/** Whether the request's identifier was replaced while the request was in flight: it may still read. */
function isReadable({ isReadable, endedAt }: FoundSession, { isSafe, arrivedAt }: RequestContext): boolean {
  return isReadable && isSafe && endedAt !== undefined && endedAt > arrivedAt
}
