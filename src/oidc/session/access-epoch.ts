import { Provider } from 'oidc-provider'
import { currentRequest } from '../engine/request-context.ts'

/**
 * The access epoch of this request's proof of identity: of the sign-in that the engine resumes from, otherwise of the
 * session.
 *
 * @returns undefined when this request has no proof; then nothing may be stored for the person.
 */
export function provenEpoch(accountSub: string | undefined): number | undefined {
  if (accountSub === undefined) return undefined
  const login = Provider.ctx?.oidc?.result?.login
  if (login?.accountId === accountSub)
    return typeof login.accessEpoch === 'number' ? login.accessEpoch : undefined
  return currentRequest().findProof(accountSub)
}
