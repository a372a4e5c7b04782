import { type Adapter, type AdapterPayload, errors, Provider } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../audit/event.ts'
import { sha256, type Vault } from '../../crypto/vault.ts'
import type { Stores } from '../../store/stores.ts'
import { toEpochSeconds } from '../../time.ts'
import { isEntryOf } from '../device/user-code.ts'
import type { UserCodeRateLimit } from '../device/user-code-rate-limit.ts'
import { engineNow } from '../engine/engine-time.ts'
import { AlreadyUsedError, unavailable } from '../engine/errors.ts'
import { currentRequest } from '../engine/request-context.ts'
import { expiryOf, fromStored, refuseWhenParentIsGone, toStored } from './payload.ts'

/** How long devices wait between polls (RFC 8628 §3.2) … */
export const DEVICE_POLL_INTERVAL_SECONDS = 5
/** … and how much longer after each poll that came too soon (§3.5). */
const DEVICE_POLL_STEP_SECONDS = 5
const PURPOSE = 'device code'

type Needs = {
  /** A device code is a token, with a user code and a decision. */
  tokenMethods: Partial<Adapter>
  stores: Pick<Stores, 'deviceCodes'>
  userCodeRateLimit: UserCodeRateLimit
  vault: Vault
}

/**
 * Device codes (RFC 8628). The engine stores one at the device's request, when a browser takes it up, and at the
 * decision. Of concurrent browsers or decisions, over all instances, the first one counts.
 */
export function deviceCodeAdapter(needs: Needs): Partial<Adapter> {
  const { tokenMethods, userCodeRateLimit, vault } = needs
  const { deviceCodes } = needs.stores
  const hashUserCode = (userCode: string) => vault.keyedHash(userCode, 'user code')

  return {
    ...tokenMethods,
    async upsert(id, payload) {
      currentRequest().forgetToken(id)
      const idHash = sha256(id)
      // The engine stores every error of the person's page as the device's final answer. A database outage is no
      // decision: the person can try again.
      if (payload.error === 'temporarily_unavailable') return await deviceCodes.reopen(idHash)
      // Nor is an expired or repeated page: its error would replace the decision of the first answer.
      if (payload.error === 'invalid_request') return
      const isDecided = payload.error !== undefined || payload.accountId !== undefined
      if (!isDecided && !payload.inFlight) return await insert(id, payload)
      const isFirst = isDecided
        ? await decide(idHash, payload)
        : await deviceCodes.claim(idHash, sessionUid())
      if (!isFirst) throw new AlreadyUsedError('the device was decided about meanwhile')
    },

    async find(id) {
      const found = await tokenMethods.find?.(id)
      const { route, client } = Provider.ctx?.oidc ?? {}
      // The engine refuses polls of other clients; they must not slow the owner down.
      if (found && isPending(found) && route === 'token' && found.clientId === client?.clientId) {
        const poll = await deviceCodes.poll({
          idHash: sha256(id),
          intervalSeconds: DEVICE_POLL_INTERVAL_SECONDS,
          stepSeconds: DEVICE_POLL_STEP_SECONDS,
        })
        if (poll === 'too-soon') throw new errors.SlowDown('polled before the interval had passed')
      }
      return found
    },

    async findByUserCode(userCode) {
      const takeBack = await userCodeRateLimit.count()
      if (!isEntryOf(Provider.ctx?.oidc.params?.user_code, userCode)) return undefined
      const found = await deviceCodes.findByUserCode(hashUserCode(userCode))
      if (!found) return undefined
      const id = vault.tryOpen(found.sealedId, PURPOSE, [found.idHash])
      if (id === undefined) return undefined
      await takeBack()
      const { inFlight, ...payload } = fromStored(found.payload, found)
      // A double click, or the back button, continues in the same browser; in another browser the code is taken.
      const isClaimed = inFlight === true && found.claimedBy !== sessionUid()
      return {
        ...payload,
        ...(isClaimed ? { inFlight } : {}),
        jti: id,
        userCode,
      }
    },
  }

  async function insert(id: string, { userCode = '', ...payload }: AdapterPayload): Promise<void> {
    const idHash = sha256(id)
    const stored = toStored(payload)
    const isStored = await deviceCodes.insert({
      idHash,
      clientId: payload.clientId ?? '',
      payload: stored,
      expiresAt: expiryOf(stored),
      userCodeHash: hashUserCode(userCode),
      sealedId: vault.seal(id, PURPOSE, [idHash]),
    })
    // A collision of user codes, once in many millions: the device retries after 503 and gets another one.
    if (!isStored) throw unavailable(new Error('another device has the same user code'))
  }

  function decide(idHash: Uint8Array, { userCode, ...payload }: AdapterPayload): Promise<boolean> {
    // A refusal refers to no grant, so that it is stored even when the grant was revoked.
    const grantId = payload.error === undefined ? payload.grantId : undefined
    return deviceCodes
      .decide({ idHash, grantId, payload: toStored(payload), event: decisionIn(payload) })
      .catch(refuseWhenParentIsGone)
  }
}

/** Whether a device waits for a decision. An expired code is no longer pending: `expired_token` comes at any poll (RFC 8628 §3.5). */
function isPending({ accountId, error, exp = 0 }: AdapterPayload): boolean {
  return accountId === undefined && error === undefined && exp > toEpochSeconds(engineNow())
}

function sessionUid(): string {
  return Provider.ctx?.oidc.session?.uid ?? ''
}

/** The audit event of a person's decision about a device; undefined when the stored state is no decision. */
function decisionIn({ error, grantId, clientId, accountId }: AdapterPayload): NewEvent | undefined {
  const isDenied = error === 'access_denied'
  if (error !== undefined && !isDenied) return undefined
  const session = Provider.ctx?.oidc?.session
  const about = { accountSub: accountId ?? session?.accountId, clientId, grantId, sessionUid: session?.uid }
  return newEvent(isDenied ? 'device.denied' : 'device.approved', about, currentRequest().origin)
}
