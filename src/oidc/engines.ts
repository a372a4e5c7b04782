import type { JWK } from 'jose'
import type { Provider } from 'oidc-provider'
import type { ChangeNotifications } from '../db/change-notification.ts'
import type { Log } from '../log.ts'
import type { Keyring } from './keyring.ts'

type Jwks = { keys: JWK[] }
type Needs = { jwks: Jwks; keyring: Keyring; notifications: ChangeNotifications; log: Log }

/**
 * Creates the engine, and another one whenever the signing keys change: an engine's keys are fixed. Running requests
 * finish on the engine they began with. `jwks` returns the current keys, for logout tokens.
 */
export function createEngines(
  { jwks, keyring, notifications, log }: Needs,
  create: (jwks: Jwks) => Provider,
): { current: () => Provider; jwks: () => Jwks } {
  let keys = jwks
  let known = JSON.stringify(jwks)
  let engine = create(jwks)
  let reloading = Promise.resolve()

  async function reload(): Promise<void> {
    try {
      const changed = await keyring.load()
      if (JSON.stringify(changed) === known) return
      known = JSON.stringify(changed)
      keys = changed
      engine = create(changed)
      log.info({ event: 'keys.reloaded', keys: changed.keys.map(({ kid }) => kid) })
    } catch (error) {
      // The previous keys go on signing; the next notification tries again.
      log.debug({ event: 'keys.reload_failed', error: error instanceof Error ? error.message : error })
    }
  }

  notifications.subscribe('signing_key', () => {
    reloading = reloading.then(reload)
  })
  return { current: () => engine, jwks: () => keys }
}
