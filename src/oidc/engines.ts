import type { JWK } from 'jose'
import type { Provider } from 'oidc-provider'
import type { ChangeNotifications } from '../db/change-notification.ts'
import type { Log } from '../log.ts'
import type { Keyring } from './keyring.ts'

type Jwks = { keys: JWK[] }
type Needs = { jwks: Jwks; keyring: Keyring; notifications: ChangeNotifications; log: Log }

/**
 * The engine of this moment. Its keys are fixed when it is made, so when an instance changes the signing keys, all
 * make another engine; requests that are running finish on the one they began on. `jwks` are the keys of this moment,
 * for what is signed outside the engine.
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
      // The keys of before go on signing; the next notice tries again.
      log.debug({ event: 'keys.reload_failed', error: error instanceof Error ? error.message : error })
    }
  }

  notifications.subscribe('signing_key', () => {
    reloading = reloading.then(reload)
  })
  return { current: () => engine, jwks: () => keys }
}
