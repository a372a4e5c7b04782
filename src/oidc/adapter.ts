import { type Adapter, type AdapterFactory, type AdapterPayload, errors, Provider } from 'oidc-provider'
import type { ArtifactKind, ArtifactStore } from '../store/artifact.ts'
import type { ClientStore } from '../store/client.ts'
import { isForeignKeyViolation } from '../store/fault.ts'
import type { GrantStore } from '../store/grant.ts'
import type { Payload } from '../store/schema.ts'
import type { SessionStore } from '../store/session.ts'
import type { TokenKind, TokenStore } from '../store/token.ts'
import { sha256, type Vault } from '../vault.ts'
import { toEngineMetadata } from './client-metadata.ts'
import {
  CONSUMED_GRACE_SECONDS,
  DEVICE_POLL_INTERVAL_SECONDS,
  DEVICE_POLL_STEP_SECONDS,
  DPOP_PROOF_SECONDS,
} from './policy.ts'
import { withUnavailable } from './unavailable.ts'

type Needs = {
  tokens: TokenStore
  grants: GrantStore
  sessions: SessionStore
  artifacts: ArtifactStore
  clients: ClientStore
  vault: Vault
  /** How long a spent refresh token is refused without ending its family. */
  refreshReplaySeconds: number
}

/**
 * How the engine remembers things: its models mapped onto our tables. Identifiers that grant something are stored
 * as hashes, expired rows are still found (the engine judges expiry), and losing a race is the right OAuth error.
 */
export function createAdapterFactory(needs: Needs): AdapterFactory {
  return (model: string) => guarded(adapterFor(model, needs))
}

function adapterFor(model: string, needs: Needs): Partial<Adapter> {
  switch (model) {
    case 'Client':
      return clientAdapter(needs)
    case 'Grant':
      return grantAdapter(needs)
    case 'Session':
      return sessionAdapter(needs)
    case 'ReplayDetection':
      return replayAdapter(needs)
    case 'Interaction':
    case 'PushedAuthorizationRequest':
      return artifactAdapter(model, needs)
    case 'DeviceCode':
      return deviceCodeAdapter(needs)
    case 'AccessToken':
    case 'AuthorizationCode':
    case 'RefreshToken':
    case 'ClientCredentials':
      return tokenAdapter(model, needs)
    default:
      throw new Error(`the engine asked to store ${model}, a feature that is off`)
  }
}

function clientAdapter({ clients }: Needs): Partial<Adapter> {
  return {
    async find(clientId) {
      // What could never have been registered is not looked up: NUL bytes would be a database error.
      if (!/^[\x21-\x7e]{1,255}$/.test(clientId)) return undefined
      const client = await clients.find(clientId)
      return client && client.metadata.disabled !== true
        ? (toEngineMetadata(client) as AdapterPayload)
        : undefined
    },
  }
}

function grantAdapter({ grants }: Needs): Partial<Adapter> {
  return {
    async upsert(id, payload) {
      const { accountId, clientId } = requireOwner(payload)
      await grants
        .upsert({
          id,
          accountSub: accountId,
          clientId,
          payload: withoutId(payload),
          expiresAt: expiryOf(payload),
        })
        .catch(refuseWhenParentIsGone)
    },
    async find(id) {
      const payload = await grants.find(id)
      return payload && { ...payload, jti: id }
    },
    destroy: (id) => grants.delete(id),
  }
}

function sessionAdapter({ sessions, vault }: Needs): Partial<Adapter> {
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
      const payload = await sessions.find(sha256(id))
      return payload && { ...open(payload), jti: id }
    },
    async findByUid(uid) {
      const payload = await sessions.findByUid(uid)
      return payload && open(payload)
    },
    destroy: (id) => sessions.end(sha256(id)),
  }
}

/** Spent assertion and proof identifiers: storing one twice is the replay (RFC 7523 §3, RFC 9449 §11.1). */
function replayAdapter({ artifacts }: Needs): Partial<Adapter> {
  const afterAssertion = new WeakSet<object>()
  return {
    async upsert(id, payload) {
      const { ctx } = Provider
      // A request's client assertion is looked at first; what comes after it is the DPoP proof.
      const isAssertion = ctx?.oidc?.params?.client_assertion !== undefined && !afterAssertion.has(ctx)
      if (ctx) afterAssertion.add(ctx)
      const expiresAt = expiryOf(payload)
      // The engine forgets a proof that is ahead of our clock while it would still accept it.
      if (!isAssertion) expiresAt.setSeconds(expiresAt.getSeconds() + DPOP_PROOF_SECONDS)
      if (await artifacts.insertOnce('ReplayDetection', sha256(id), expiresAt)) return
      throw isAssertion
        ? new errors.InvalidClientAuth('client assertion was used before')
        : new errors.InvalidDpopProof('DPoP proof was used before')
    },
    // Looking first would be a second statement and a race; the insert alone decides.
    async find() {},
  }
}

/**
 * Interactions and pushed requests are sealed whole: they carry session ids, device codes and whatever the app sent.
 * Both are finished once.
 */
function artifactAdapter(kind: ArtifactKind, { artifacts, vault }: Needs): Partial<Adapter> {
  const consume = async (id: string) => {
    if (!(await artifacts.consume(kind, sha256(id)))) throw alreadyFinished(kind)
  }
  return {
    async upsert(id, payload) {
      const sealed = vault.seal(JSON.stringify(withoutId(payload)), kind)
      if (!(await artifacts.upsert(kind, sha256(id), sealed, expiryOf(payload)))) throw alreadyFinished(kind)
    },
    async find(id) {
      const row = await artifacts.find(kind, sha256(id))
      if (!row || (row.consumed && kind === 'Interaction')) return undefined
      const payload: AdapterPayload = JSON.parse(vault.open(row.sealedPayload, kind))
      return { ...payload, jti: id, ...(row.consumed ? { consumed: true } : {}) }
    },
    consume,
    // Only resuming destroys an interaction. Its row stays, spent, so that a second form cannot bring it back.
    destroy: consume,
  }
}

function alreadyFinished(kind: ArtifactKind): Error {
  return kind === 'Interaction'
    ? new errors.SessionNotFound('the interaction was finished already')
    : new errors.InvalidRequestUri('request_uri was already used')
}

function tokenAdapter(kind: TokenKind, { tokens, refreshReplaySeconds }: Needs): Partial<Adapter> {
  const graceSeconds = kind === 'RefreshToken' ? refreshReplaySeconds : CONSUMED_GRACE_SECONDS
  return {
    async upsert(id, payload) {
      await tokens
        .upsert({
          idHash: sha256(id),
          kind,
          grantId: payload.grantId,
          clientId: payload.clientId ?? '',
          payload: withoutId(payload),
          expiresAt: expiryOf(payload),
        })
        .catch(refuseWhenParentIsGone)
    },
    async find(id) {
      const row = await tokens.find(kind, sha256(id), graceSeconds)
      return row && { ...row.payload, jti: id, ...(row.consumed ? { consumed: true } : {}) }
    },
    async consume(id) {
      if (await tokens.consume(kind, sha256(id))) return
      throw new errors.InvalidGrant(`${kind} was used by a concurrent request`)
    },
    destroy: (id) => tokens.delete(sha256(id)),
    revokeByGrantId: (grantId) => tokens.deleteByGrant(kind, grantId),
  }
}

function deviceCodeAdapter(needs: Needs): Partial<Adapter> {
  const { tokens, vault } = needs
  const purpose = 'device code'
  const fingerprint = (userCode: string) => vault.fingerprint(userCode, 'user code')
  const common = tokenAdapter('DeviceCode', needs)

  return {
    ...common,
    async upsert(id, { userCode, ...payload }) {
      await tokens
        .upsert({
          idHash: sha256(id),
          kind: 'DeviceCode',
          grantId: payload.grantId,
          clientId: payload.clientId ?? '',
          payload: withoutId(payload),
          expiresAt: expiryOf(payload),
          device:
            userCode === undefined
              ? undefined
              : { userCodeHash: fingerprint(userCode), sealedId: vault.seal(id, purpose) },
        })
        .catch(refuseWhenParentIsGone)
    },
    async find(id) {
      const found = await common.find?.(id)
      const { route, client } = Provider.ctx?.oidc ?? {}
      // Another client's poll is refused by the engine, and must not slow the owner down.
      if (found && route === 'token' && !found.consumed && found.clientId === client?.clientId) {
        const poll = await tokens.poll(sha256(id), {
          intervalSeconds: DEVICE_POLL_INTERVAL_SECONDS,
          stepSeconds: DEVICE_POLL_STEP_SECONDS,
        })
        if (poll === 'too-soon') throw new errors.SlowDown('polled before the interval had passed')
      }
      return found
    },
    async findByUserCode(userCode) {
      const found = await tokens.findByUserCode(fingerprint(userCode))
      return found && { ...found.payload, jti: vault.open(found.sealedId, purpose), userCode }
    },
  }
}

/** The grant, person or client that a row belongs to was ended while this request ran. */
function refuseWhenParentIsGone(error: unknown): never {
  if (isForeignKeyViolation(error)) throw new errors.InvalidGrant('the grant ended during this request')
  throw error
}

function guarded(adapter: Partial<Adapter>): Adapter {
  const methods = Object.entries(adapter).map(([name, method]) => [
    name,
    withUnavailable(method.bind(adapter)),
  ])
  // Each model's adapter has the methods that the engine calls for that model, and no others.
  return Object.fromEntries(methods) as Adapter
}

function withoutId({ jti, ...payload }: AdapterPayload): Payload {
  return payload
}

function expiryOf({ exp }: AdapterPayload): Date {
  if (typeof exp !== 'number') throw new TypeError('the engine stores nothing without an expiry')
  return new Date(exp * 1000)
}

function requireOwner({ accountId, clientId }: AdapterPayload): { accountId: string; clientId: string } {
  if (!accountId || !clientId) throw new TypeError('a grant has an account and a client')
  return { accountId, clientId }
}
