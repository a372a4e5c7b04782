import type { Adapter, AdapterFactory } from 'oidc-provider'
import type { Vault } from '../../crypto/vault.ts'
import type { ClientStore } from '../../store/client/client.ts'
import type { SessionStore } from '../../store/session/session.ts'
import type { ArtifactStore } from '../../store/token/artifact.ts'
import type { DeviceCodeStore } from '../../store/token/device-code.ts'
import type { GrantStore } from '../../store/token/grant.ts'
import type { Clock } from '../../time.ts'
import type { UserCodeRateLimit } from '../device/user-code-rate-limit.ts'
import { withUnavailable } from '../engine/unavailable.ts'
import type { SessionLimits } from '../session/session-limits.ts'
import { artifactAdapter } from './artifact.ts'
import { clientAdapter } from './client.ts'
import { deviceCodeAdapter } from './device-code.ts'
import { grantAdapter } from './grant.ts'
import { replayAdapter } from './replay.ts'
import { sessionAdapter } from './session.ts'
import { type TokenNeeds, tokenAdapter } from './token.ts'

type Needs = TokenNeeds & {
  deviceCodes: DeviceCodeStore
  userCodeRateLimit: UserCodeRateLimit
  grants: GrantStore
  sessions: SessionStore
  artifacts: ArtifactStore
  clients: ClientStore
  limits: SessionLimits
  vault: Vault
  now: Clock
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

function guarded(adapter: Partial<Adapter>): Adapter {
  const methods = Object.entries(adapter).map(([name, method]) => [
    name,
    withUnavailable(method.bind(adapter)),
  ])
  // Each model's adapter has the methods that the engine calls for that model, and no others.
  return Object.fromEntries(methods) as Adapter
}
