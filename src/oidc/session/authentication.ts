import { Provider } from 'oidc-provider'
import { toEngineSeconds } from '../engine/engine-time.ts'
import { currentRequest } from '../engine/request-context.ts'
import { ACR } from './step-up.ts'

/** `amr` of a remembered browser: no proof of identity was given (RFC 8176 allows further values). */
const REMEMBERED_AMR = 'remembered'

/** How a person was authenticated: with a password just now, or by a browser that was remembered since. */
export type Authentication = Readonly<{ method: 'password' | 'remembered'; at: Date }>

/** The engine's claims about an authentication (`auth_time`, `amr`, `acr`). */
export function describeAuthentication({ method, at }: Authentication): {
  ts: number
  amr: string[]
  acr: string
} {
  return {
    ts: toEngineSeconds(at),
    amr: [method === 'password' ? 'pwd' : REMEMBERED_AMR],
    acr: ACR[method],
  }
}

/** Whether the session began in a remembered browser, without a proof of identity. */
export function isRemembered(session: { amr?: unknown } | undefined): boolean {
  return Array.isArray(session?.amr) && session.amr.includes(REMEMBERED_AMR)
}

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
  return currentRequest().provenEpochs.get(accountSub)
}
