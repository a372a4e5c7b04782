import { Provider } from 'oidc-provider'
import { currentUnit } from './unit-of-work.ts'

/**
 * The access epoch under which the person of this request proved their identity: on the sign-in page that the engine goes
 * on from, else when the session began.
 *
 * @returns undefined when this request holds no proof; nothing is stored for the person then.
 */
export function provenEpoch(accountSub: string | undefined): number | undefined {
  if (accountSub === undefined) return undefined
  const login = Provider.ctx?.oidc?.result?.login
  if (login?.accountId === accountSub)
    return typeof login.accessEpoch === 'number' ? login.accessEpoch : undefined
  return currentUnit()?.accessEpochs.get(accountSub)
}
