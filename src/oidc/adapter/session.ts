import { isDeepStrictEqual } from 'node:util'
import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider'
import type { NewEvent } from '../../audit/event.ts'
import { sha256, type Vault } from '../../crypto/vault.ts'
import { isForeignKeyViolation } from '../../db/database-error.ts'
import type { Payload } from '../../db/schema.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import { TooManySessionsError } from '../../store/session/session-limit.ts'
import type { Session } from '../../store/session/session-upsert.ts'
import type { Stores } from '../../store/stores.ts'
import { currentRequest } from '../engine/request-context.ts'
import { provenEpoch } from '../session/authentication.ts'
import { eventOfMisuse, eventsOfUse } from '../session/session-events.ts'
import {
  capExpiry,
  hasReachedLimit,
  isOutdated,
  mustStoreExpiry,
  statusOf,
} from '../session/session-lifetime.ts'
import { countsFor, type SessionLimits, tooManySessions } from '../session/session-limits.ts'
import { expiryOf, fromStored, toStored } from './payload.ts'

/** How long requests in flight may still read a replaced session. */
const READABLE_SECONDS = 10
const PURPOSE = 'session state'

type Needs = { stores: Pick<Stores, 'sessions' | 'revocations'>; limits: SessionLimits; vault: Vault }

type Change = { before: FoundSession | undefined; events: NewEvent[]; next: Payload; isExtended: boolean }

/** Browser sessions. One statement stores a session, replaces its identifier and records its events. */
export function sessionAdapter({ stores, limits, vault }: Needs): Partial<Adapter> {
  const { sessions, revocations } = stores
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
      const { browser } = currentRequest()
      // An anonymous session would replace the newer one that the browser has.
      if (browser.isOutdated && payload.accountId === undefined) return
      const change = changeOf(id, payload)
      if (!change) return
      try {
        const isStored = await store(id, payload, change)
        if (isStored && change.isExtended) browser.allowCookie(id)
        if (!isStored) await addAuthorizations(payload, change.before)
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
      if (status === 'revoked' || status === 'expired') {
        const misuse = eventOfMisuse(status, found, { lifetimes: limits, origin: request.origin })
        if (misuse) await sessions.recordMisuse(idHash, misuse)
      }
      if (status !== 'live' && status !== 'readable') return undefined
      const payload = open(found.payload, idHash)
      request.recordSession(id, { ...found, payload: structuredClone(payload) })
      return { ...fromStored(payload, found), jti: id }
    },

    async findByUid(uid) {
      const request = currentRequest()
      const read = request.tokenSessions.get(uid)
      const state = read ? read.state : await sessions.findByUid(uid)
      if (!state) return undefined
      const { accountId } = state.payload
      if (typeof accountId === 'string') request.provenEpochs.set(accountId, state.accessEpoch)
      // The tokens of a client with shorter session limits end with the session.
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

  /** @returns undefined when nothing must be stored: the engine stores a session after every request. */
  function changeOf(id: string, payload: AdapterPayload): Change | undefined {
    const { origin, browser } = currentRequest()
    const { client } = Provider.ctx?.oidc ?? {}
    const stored = browser.findSession(id)
    const before = stored ?? browser.findSessionByUid(payload.uid ?? '')
    const events = eventsOfUse(payload, before, origin)
    const next = capExpiry(toStored(payload), limits)
    // The cookie expires with the row, so both are extended together.
    const isExtended = !stored || mustStoreExpiry(stored, next, { client, lifetimes: limits })
    if (isExtended) return { before, events, next, isExtended }
    const unextended = { ...next, exp: stored.payload.exp }
    if (events.length === 0 && isSame(stored.payload, unextended)) return undefined
    return { before, events, next: unextended, isExtended }
  }

  async function store(
    id: string,
    payload: AdapterPayload,
    { before, events, next }: Change,
  ): Promise<boolean> {
    const { uid, accountId } = payload
    if (typeof uid !== 'string') throw new TypeError('a session has a uid')
    const { origin, browser } = currentRequest()
    const idHash = sha256(id)
    const session = {
      idHash,
      uid,
      accountSub: accountId,
      accessEpoch: provenEpoch(accountId),
      payload: seal(next, idHash),
      expiresAt: expiryOf(next),
      origin,
      rememberedId: accountId === undefined ? undefined : browser.rememberedId,
      replaces: replacedBy(payload),
    }
    const recorded = events.map((event) => browser.recordEvent(event))
    const counts = countsFor(payload, before, { client: Provider.ctx?.oidc?.client, limits })
    if (accountId === undefined || counts.length === 0) return await sessions.upsert(session, recorded)
    const cause = { reason: 'session_limit', by: 'server', origin } as const
    const limit = { counts, whenFull: limits.whenFull, cause }
    return await sessions.upsertWithin({ ...session, accountSub: accountId }, recorded, limit)
  }

  /**
   * The identifier that a session replaces. Requests in flight of the same person may still read it, unless the access
   * epoch was raised: a new password must lock them out.
   */
  function replacedBy({ accountId }: AdapterPayload): Session['replaces'] {
    const { browser } = currentRequest()
    if (browser.replaces === undefined) return undefined
    const before = browser.findSession(browser.replaces)
    const isSamePerson = accountId !== undefined && before?.payload.accountId === accountId
    const readableSeconds =
      isSamePerson && before?.accessEpoch === provenEpoch(accountId) ? READABLE_SECONDS : 0
    return { idHash: sha256(browser.replaces), readableSeconds }
  }

  /**
   * The session continues under a new identifier: adds the clients that this request authorized, so that their codes
   * can be redeemed.
   */
  async function addAuthorizations(
    { uid = '', accountId, authorizations = {} }: AdapterPayload,
    before: FoundSession | undefined,
  ): Promise<void> {
    const known = new Set(Object.keys(before?.payload.authorizations ?? {}))
    const added = Object.entries(authorizations).filter(([clientId]) => !known.has(clientId))
    if (accountId === undefined || added.length === 0) return
    await sessions.addAuthorizations({
      uid,
      accountSub: accountId,
      accessEpoch: provenEpoch(accountId),
      authorizations: Object.fromEntries(added),
    })
  }
}

/** Compares in the stored form (JSON), which drops undefined members. */
function isSame(stored: Payload, changed: Payload): boolean {
  return isDeepStrictEqual(stored, JSON.parse(JSON.stringify(changed)))
}
