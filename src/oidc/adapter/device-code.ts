import { type Adapter, type AdapterPayload, errors, Provider } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../store/event.ts'
import { sha256, type Vault } from '../../vault.ts'
import { DEVICE_POLL_INTERVAL_SECONDS, DEVICE_POLL_STEP_SECONDS } from '../policy.ts'
import { currentUnit } from '../unit-of-work.ts'
import { expiryOf, refuseWhenParentIsGone, withoutId } from './payload.ts'
import { type TokenNeeds, tokenAdapter } from './token.ts'

/** What a person decided about a device: in the state that its code is stored with. */
function decisionIn({ error, grantId, clientId, accountId }: AdapterPayload): NewEvent[] {
  const isDenied = error === 'access_denied'
  const isApproved = error === undefined && grantId !== undefined
  if (!isDenied && !isApproved) return []
  const unit = currentUnit()
  const session = Provider.ctx?.oidc?.session
  const about = { accountSub: accountId ?? session?.accountId, clientId, grantId, sessionUid: session?.uid }
  return [newEvent(isApproved ? 'device.approved' : 'device.denied', about, unit?.origin)]
}

export function deviceCodeAdapter(needs: TokenNeeds & { vault: Vault }): Partial<Adapter> {
  const { tokens, vault } = needs
  const purpose = 'device code'
  const fingerprint = (userCode: string) => vault.fingerprint(userCode, 'user code')
  const common = tokenAdapter('DeviceCode', needs)

  return {
    ...common,
    async upsert(id, { userCode, ...payload }) {
      // The engine makes whatever failed at the person's page the device's answer, for good. That the database was away
      // says nothing about the device: the person tries again, or did decide.
      if (payload.error === 'temporarily_unavailable') return await tokens.reopenDeviceCode(sha256(id))
      currentUnit()?.read.tokens.delete(id)
      await tokens
        .upsertDeviceCode({
          idHash: sha256(id),
          kind: 'DeviceCode',
          grantId: payload.grantId,
          clientId: payload.clientId ?? '',
          payload: withoutId(payload),
          expiresAt: expiryOf(payload),
          events: decisionIn(payload),
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
      const isPending = found && !found.accountId && !found.error
      // Another client's poll is refused by the engine, and must not slow the owner down.
      if (isPending && route === 'token' && found.clientId === client?.clientId) {
        const poll = await tokens.poll({
          idHash: sha256(id),
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
