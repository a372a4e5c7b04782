import type { Config } from '../config/config.ts'
import type { DeviceCookies } from '../http/login/device-cookie.ts'
import { parseUserAgent } from '../http/pages/user-agent.ts'
import type { Views } from '../http/pages/views.ts'
import type { Log } from '../log.ts'
import { createAdapterFactory } from '../oidc/adapter/factory.ts'
import { createClientKeyFetch } from '../oidc/client/client-keys.ts'
import { createRegisteredScope } from '../oidc/client/registered-scope.ts'
import { createUserCodeRateLimit } from '../oidc/device/user-code-rate-limit.ts'
import { createEngines } from '../oidc/engines.ts'
import { createEngine } from '../oidc/provider.ts'
import type { SessionLimits } from '../oidc/session/session-limits.ts'
import type { RefreshReplay } from '../oidc/token/refresh-replay.ts'
import type { Installation } from './installation.ts'

type Needs = { deviceCookies: DeviceCookies; refreshReplay: RefreshReplay; views: Views; log: Log }

export type Engines = ReturnType<typeof buildEngines>

/** The engine, replaced by another one whenever the signing keys change. */
export function buildEngines(config: Config, installation: Installation, needs: Needs) {
  const { issuer, isLocal, lifetimes } = config
  const { clock, vault, stores, rateLimiter, outbound, jwks, keyring, notifications } = installation
  const { deviceCookies, refreshReplay, views, log } = needs
  const { now } = clock
  const { render, renderError } = views
  const fetchOfClients = createClientKeyFetch({ outbound, now })
  const sessionLimits = sessionLimitsOf(config)
  const adapter = createAdapterFactory({
    stores,
    refreshReplay,
    registeredScope: createRegisteredScope(stores),
    userCodeRateLimit: createUserCodeRateLimit({ rateLimiter, stores, findDevices: deviceCookies.find }),
    sessionLimits,
    vault,
    now,
  })
  return createEngines({ jwks, keyring, notifications, log }, (signing) =>
    createEngine({
      issuer,
      keys: { signing, fetchOfClients },
      vault,
      adapter,
      policy: { lifetimes, sessionLimits },
      stores,
      pages: { render, renderError, parseUserAgent, isLocal },
      log,
      now,
    }),
  )
}

export function sessionLimitsOf({ lifetimes, maxSessions, whenFull }: Config): SessionLimits {
  const { sessionIdleSeconds, sessionAbsoluteSeconds } = lifetimes
  return { sessionIdleSeconds, sessionAbsoluteSeconds, maxSessions, whenFull }
}
