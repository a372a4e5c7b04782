/**
 * Room oidc/adapter/: the engine's storage, one file per model of the engine. payload.ts converts between the engine's
 * payloads and stored ones; call-order.test.ts states the order of the engine's calls.
 */
import type { Adapter, AdapterFactory } from 'oidc-provider'
import type { Vault } from '../../crypto/vault.ts'
import type { ClientStore } from '../../store/client/client.ts'
import type { Revocations } from '../../store/revocation/revocation.ts'
import type { SessionStore } from '../../store/session/session.ts'
import type { DeviceCodeStore } from '../../store/token/device-code.ts'
import type { GrantStore } from '../../store/token/grant.ts'
import type { PendingRequestStore } from '../../store/token/pending-request.ts'
import type { ReplayDetection } from '../../store/token/replay-detection.ts'
import type { TokenStore } from '../../store/token/token.ts'
import type { Clock } from '../../time.ts'
import type { RegisteredScope } from '../client/registered-scope.ts'
import type { UserCodeRateLimit } from '../device/user-code-rate-limit.ts'
import { withUnavailable } from '../engine/errors.ts'
import type { SessionLimits } from '../session/session-limits.ts'
import type { RefreshReplay } from '../token/refresh-replay.ts'
import { clientAdapter } from './client.ts'
import { deviceCodeAdapter } from './device-code.ts'
import { grantAdapter } from './grant.ts'
import { interactionAdapter } from './interaction.ts'
import { pushedRequestAdapter } from './pushed-request.ts'
import { replayAdapter } from './replay-detection.ts'
import { sessionAdapter } from './session.ts'
import { tokenAdapter } from './token.ts'

type Needs = {
  stores: {
    tokens: TokenStore
    deviceCodes: DeviceCodeStore
    grants: GrantStore
    sessions: SessionStore
    interactions: PendingRequestStore
    pushedRequests: PendingRequestStore
    replayDetection: ReplayDetection
    clients: ClientStore
  }
  revocations: Pick<Revocations, 'revoke'>
  refreshReplay: RefreshReplay
  registeredScope: RegisteredScope
  userCodeRateLimit: UserCodeRateLimit
  sessionLimits: SessionLimits
  vault: Vault
  now: Clock
}

/**
 * Maps the engine's models to tables. Secret identifiers are stored as hashes, expired rows are still found (the engine
 * checks the expiry), and the loser of a race gets an OAuth error.
 */
export function createAdapterFactory(needs: Needs): AdapterFactory {
  return (model: string) => guarded(adapterFor(model, needs))
}

function adapterFor(model: string, needs: Needs): Partial<Adapter> {
  const {
    stores,
    revocations,
    refreshReplay,
    registeredScope,
    userCodeRateLimit,
    sessionLimits,
    vault,
    now,
  } = needs
  const { tokens, deviceCodes, grants, sessions, interactions, pushedRequests, replayDetection, clients } =
    stores
  switch (model) {
    case 'Client':
      return clientAdapter({ clients, now })
    case 'Grant':
      return grantAdapter({ grants, revocations, registeredScope })
    case 'Session':
      return sessionAdapter({ sessions, revocations, limits: sessionLimits, vault })
    case 'ReplayDetection':
      return replayAdapter({ replayDetection })
    case 'Interaction':
      return interactionAdapter({ interactions, vault })
    case 'PushedAuthorizationRequest':
      return pushedRequestAdapter({ pushedRequests, vault })
    case 'DeviceCode': {
      const tokenMethods = tokenAdapter(model, { tokens, revocations, refreshReplay, registeredScope })
      return deviceCodeAdapter({ tokenMethods, deviceCodes, userCodeRateLimit, vault })
    }
    case 'AccessToken':
    case 'AuthorizationCode':
    case 'RefreshToken':
    case 'ClientCredentials':
      return tokenAdapter(model, { tokens, revocations, refreshReplay, registeredScope })
    default:
      throw new Error(`the engine asked to store ${model}, a feature that is off`)
  }
}

function guarded(adapter: Partial<Adapter>): Adapter {
  const methods = Object.entries(adapter).map(([name, method]) => [
    name,
    withUnavailable(method.bind(adapter)),
  ])
  // Each model's adapter has the methods that the engine calls for that model, and no others.
  return Object.fromEntries(methods) as Adapter
}
