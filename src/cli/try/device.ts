import * as client from 'openid-client'
import { renderUnicodeCompact } from 'uqr'
import type { Terminal } from '../terminal.ts'
import { askedFor, discover, explain, type TryOptions } from './app.ts'
import { examine, printReport } from './report.ts'

/** Device grant: shows what a TV would show, and polls as it would. */
export async function tryDevice(terminal: Terminal, options: TryOptions): Promise<void> {
  const config = await discover(terminal, options)
  try {
    const device = await client.initiateDeviceAuthorization(config, askedFor(options))
    // With --json, stdout is for the document alone.
    const forPeople = options.json ? terminal.stderr : terminal.stdout
    forPeople.write(`${describe(device)}\n`)
    const tokens = await client.pollDeviceAuthorizationGrant(config, device, undefined, {
      signal: terminal.signal,
    })
    printReport(terminal, options, await examine(config, tokens))
  } catch (error) {
    throw explain(error)
  }
}

function describe({
  user_code,
  verification_uri,
  verification_uri_complete,
  expires_in,
}: client.DeviceAuthorizationResponse): string {
  const steps = [
    `On a phone or computer, open   ${verification_uri}`,
    `and enter the code             ${user_code}`,
    '',
  ]
  const picture =
    verification_uri_complete === undefined
      ? []
      : [
          'Or scan this:',
          '',
          renderUnicodeCompact(verification_uri_complete, { border: 2 }),
          verification_uri_complete,
          '',
        ]
  return [
    ...steps,
    ...picture,
    `Waiting; the code is good for ${Math.round(expires_in / 60)} minutes …`,
  ].join('\n')
}
