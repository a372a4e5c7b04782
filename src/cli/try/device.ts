import { setTimeout as sleep } from 'node:timers/promises'
import * as openid from 'openid-client'
import { renderUnicodeCompact } from 'uqr'
import { isLoopback } from '../../loopback.ts'
import { DEVICE_GRANT_TYPE } from '../../store/client/grant-type.ts'
import { toPrintable } from '../output/printable.ts'
import { instruct, type RelyingParty, toAccessParameters } from './relying-party.ts'
import type { Tokens } from './tokens.ts'

const INTERVAL_SECONDS = 5
const SLOW_DOWN_SECONDS = 5
const MAX_SECONDS = 86_400
/** A longer URL makes a QR code that is too large for a terminal. */
const MAX_QR_CHARACTERS = 300

type DeviceAuthorization = Awaited<ReturnType<typeof openid.initiateDeviceAuthorization>>

/**
 * Gets tokens for the person who approves the user code.
 *
 * @throws errors of openid-client, and an Error when the code expired.
 * @see RFC 8628
 */
export async function runDeviceFlow(party: RelyingParty): Promise<Tokens> {
  const authorization = await openid.initiateDeviceAuthorization(party.server, toAccessParameters(party))
  showUserCode(party, authorization)
  return await poll(party, authorization)
}

function showUserCode(party: RelyingParty, authorization: DeviceAuthorization): void {
  const { user_code, verification_uri, verification_uri_complete: direct, expires_in } = authorization
  instruct(party, `Open   ${toPrintable(verification_uri)}`)
  instruct(party, `Enter  ${toPrintable(user_code)}\n`)
  if (direct !== undefined && direct.length <= MAX_QR_CHARACTERS) {
    const url = URL.parse(direct)
    const reach = url && isLoopback(url) ? ' (a phone cannot reach this machine by that name)' : ''
    instruct(party, `Or scan, which opens ${toPrintable(direct)}${reach}:\n`)
    instruct(party, `${renderUnicodeCompact(direct, { border: 2 })}\n`)
  }
  instruct(party, `Waiting up to ${expires_in} seconds for approval; Ctrl-C stops.\n`)
}

/**
 * Polls at the interval of the server. openid-client's own poll notices an abort up to five seconds late.
 *
 * @see RFC 8628 §3.5
 */
async function poll({ terminal, server, resource }: RelyingParty, authorization: DeviceAuthorization) {
  const { device_code, expires_in } = authorization
  const parameters = { device_code, ...(resource === undefined ? {} : { resource }) }
  const deadline = performance.now() + Math.min(expires_in, MAX_SECONDS) * 1000
  let intervalSeconds = Math.min(authorization.interval ?? INTERVAL_SECONDS, MAX_SECONDS)
  while (performance.now() + intervalSeconds * 1000 <= deadline) {
    await sleep(intervalSeconds * 1000, undefined, { signal: terminal.signal })
    try {
      return await openid.genericGrantRequest(server, DEVICE_GRANT_TYPE, parameters)
    } catch (error) {
      const code = error instanceof openid.ResponseBodyError ? error.error : undefined
      if (code === 'slow_down') intervalSeconds += SLOW_DOWN_SECONDS
      else if (code === 'expired_token') break
      else if (code === 'access_denied') throw new Error('The request was denied.')
      else if (code !== 'authorization_pending') throw error
    }
  }
  throw new Error('The code expired without approval. Run the command again for a new code.')
}
