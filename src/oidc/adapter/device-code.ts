import { type Adapter, type AdapterPayload, errors, Provider } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../audit/event.ts'
import { sha256, type Vault } from '../../crypto/vault.ts'
import type { DeviceCodeStore } from '../../store/token/device-code.ts'
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
  deviceCodes: DeviceCodeStore
  userCodeRateLimit: UserCodeRateLimit
  vault: Vault
}

/**
 * A device's code is stored when it asks, when a person takes it up, and when they decided (RFC 8628 §3.1, §3.3). Of
 * several who try at once one is first, whatever instance they are at; the others are told that it was used.
 */
export function deviceCodeAdapter({
  tokenMethods,
  deviceCodes,
  userCodeRateLimit,
  vault,
}: Needs): Partial<Adapter> {
  const hashUserCode = (userCode: string) => vault.keyedHash(userCode, 'user code')

  return {
    ...tokenMethods,
    async upsert(id, payload) {
      currentRequest().forgetToken(id)
      const idHash = sha256(id)
      // The engine makes whatever failed at the person's page the device's answer, for good. That the database was away
      // says nothing about the device: the person tries again, or did decide.
      if (payload.error === 'temporarily_unavailable') return await deviceCodes.reopen(idHash)
      // Nor does a page that was over: answered twice, the second answer would be the device's, before the first one is.
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
      // Another client's poll is refused by the engine, and must not slow the owner down.
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
      // Who pressed the button twice, or went back, goes on with their own; in any other browser it is taken.
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
    // Once in many millions: the device asks again, as it does when we are busy, and is told another one.
    if (!isStored) throw unavailable(new Error('another device was just told the same user code'))
  }

  function decide(idHash: Uint8Array, { userCode, ...payload }: AdapterPayload): Promise<boolean> {
    // A refusal needs no grant, and must be stored also when it is that the grant has ended.
    const grantId = payload.error === undefined ? payload.grantId : undefined
    return deviceCodes
      .decide({ idHash, grantId, payload: toStored(payload), event: decisionIn(payload) })
      .catch(refuseWhenParentIsGone)
  }
}

/** A device that waits for its person. That its code has expired it is told however soon it asks (RFC 8628 §3.5). */
function isPending({ accountId, error, exp = 0 }: AdapterPayload): boolean {
  return accountId === undefined && error === undefined && exp > toEpochSeconds(engineNow())
}

function sessionUid(): string {
  return Provider.ctx?.oidc.session?.uid ?? ''
}

/** What a person decided about a device, in the state that its code is stored with; undefined when something else did. */
function decisionIn({ error, grantId, clientId, accountId }: AdapterPayload): NewEvent | undefined {
  const isDenied = error === 'access_denied'
  if (error !== undefined && !isDenied) return undefined
  const session = Provider.ctx?.oidc?.session
  const about = { accountSub: accountId ?? session?.accountId, clientId, grantId, sessionUid: session?.uid }
  return newEvent(isDenied ? 'device.denied' : 'device.approved', about, currentRequest().origin)
}
