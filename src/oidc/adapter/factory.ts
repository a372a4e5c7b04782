/**
 * Room oidc/adapter/: the engine's storage, one file per model of the engine. payload.ts converts between the engine's
 * payloads and stored ones; call-order.test.ts states the order of the engine's calls.
 */
import type { Adapter, AdapterFactory } from 'oidc-provider'
import type { Vault } from '../../crypto/vault.ts'
import type { Stores } from '../../store/stores.ts'
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
  stores: Stores
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
  const { stores, refreshReplay, registeredScope, userCodeRateLimit, sessionLimits, vault, now } = needs
  switch (model) {
    case 'Client':
      return clientAdapter({ stores, now })
    case 'Grant':
      return grantAdapter({ stores, registeredScope })
    case 'Session':
      return sessionAdapter({ stores, limits: sessionLimits, vault })
    case 'ReplayDetection':
      return replayAdapter(stores)
    case 'Interaction':
      return interactionAdapter({ stores, vault })
    case 'PushedAuthorizationRequest':
      return pushedRequestAdapter({ stores, vault })
    case 'DeviceCode': {
      const tokenMethods = tokenAdapter(model, { stores, refreshReplay, registeredScope })
      return deviceCodeAdapter({ tokenMethods, stores, userCodeRateLimit, vault })
    }
    case 'AccessToken':
    case 'AuthorizationCode':
    case 'RefreshToken':
    case 'ClientCredentials':
      return tokenAdapter(model, { stores, refreshReplay, registeredScope })
    default:
      throw new Error(`the engine stores ${model}, a feature that is off`)
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
