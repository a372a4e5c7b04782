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
import { isRemembered, provenEpoch } from '../session/authentication.ts'
import { findAnomaly } from '../session/session-anomaly.ts'
import {
  capExpiry,
  hasReachedLimit,
  mustStoreExpiry,
  reachedLimit,
  statusOf,
} from '../session/session-lifetime.ts'
import { countsFor, type SessionLimits, tooManySessions } from '../session/session-limits.ts'
import { expiryOf, fromStored, toStored } from './payload.ts'

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
      const next = capExpiry(toStored(payload), limits)
      // The cookie expires with the row, so both are extended together.
      const { client } = Provider.ctx?.oidc ?? {}
      const isExtended = !stored || mustStoreExpiry(stored, next, { client, lifetimes: limits })
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
        // The account was deleted during this request.
        if (!isForeignKeyViolation(error)) throw error
      }
    },

    async find(id) {
      const idHash = sha256(id)
      const request = currentRequest()
      const found = await sessions.find(idHash)
      if (!found) return undefined
      if (isOutdated(found, request)) request.browser.markOutdated()
      const status = statusOf(found, request, limits)
      if (status === 'revoked' || status === 'expired') await recordMisuse(idHash, found, status)
      if (status !== 'live' && status !== 'readable') return undefined
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
      if (hasReachedLimit(client, state, limits)) return undefined
      // Form state is opened only for the cookie's holder.
      const { state: _sealed, ...payload } = structuredClone(state.payload)
      return fromStored(payload, { isExpired: false })
    },

    async destroy(id) {
      const { ctx } = Provider
      const isLogout = ctx?.oidc?.route === 'end_session_confirm' && ctx.oidc.params?.logout
      const uid = ctx?.oidc?.session?.uid
      // The engine also destroys the old row when it replaces the identifier, just before it stores the new row. One
      // statement does both, so that a concurrent revocation finds one of them.
      const { origin, browser } = currentRequest()
      if (!isLogout && browser.findSession(id)) return browser.recordReplacement(id)
      if (!isLogout || uid === undefined) return await sessions.retire(sha256(id))
      const cause = { reason: 'signed_out', by: 'person', origin } as const
      await revocations.revoke({ kind: 'session', uid, cause })
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
    const anomaly = findAnomaly(before, currentRequest().origin)
    const detail = { address_before: before.address, user_agent_before: before.userAgent }
    return anomaly ? [newEvent(anomaly, { ...about, detail })] : []
  }

  /**
   * The identifier that a session replaces. Requests in flight of the same person may still read it, unless the access
   * epoch was raised: a new password must lock them out.
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

  /** Records the use of a session that is over: by a browser that kept the cookie, or with a stolen copy. */
  async function recordMisuse(
    idHash: Uint8Array,
    found: FoundSession,
    status: 'revoked' | 'expired',
  ): Promise<void> {
    if (!found.account) return
    const about = { accountSub: found.account.sub, sessionUid: found.uid }
    const { origin } = currentRequest()
    const event =
      status === 'revoked'
        ? newEvent('session.used_after_end', about, origin)
        : newEvent(
            'session.used_after_expiry',
            { ...about, detail: { limit: reachedLimit(found, limits) } },
            origin,
          )
    await sessions.recordMisuse(idHash, event)
  }
}

/** Compares in the stored form (JSON), which drops undefined members. */
function isSame(stored: Payload, changed: Payload): boolean {
  return isDeepStrictEqual(stored, JSON.parse(JSON.stringify(changed)))
}
