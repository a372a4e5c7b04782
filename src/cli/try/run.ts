import type { Terminal } from '../output/terminal.ts'
import { type BrowserOptions, runCodeFlow } from './code.ts'
import { runDeviceFlow } from './device.ts'
import { explainFault } from './fault.ts'
import { showTokens } from './outcome.ts'
import { connect, type PartyOptions, type RelyingParty } from './relying-party.ts'
import { requireSecret, runServiceFlow } from './service.ts'
import type { Tokens } from './tokens.ts'

/** Each function rejects with an Error whose message is for the terminal. */
export async function tryCode(terminal: Terminal, options: PartyOptions & BrowserOptions): Promise<void> {
  await run(terminal, options, (party) => runCodeFlow(party, options))
}

export async function tryDevice(terminal: Terminal, options: PartyOptions): Promise<void> {
  await run(terminal, options, runDeviceFlow)
}

export async function tryService(terminal: Terminal, options: PartyOptions): Promise<void> {
  requireSecret(options)
  await run(terminal, options, runServiceFlow)
}

async function run(
  terminal: Terminal,
  options: PartyOptions,
  flow: (party: RelyingParty) => Promise<Tokens>,
): Promise<void> {
  try {
    const party = await connect(terminal, options)
    await showTokens(party, await flow(party))
  } catch (error) {
    throw explainFault(error, terminal.signal)
  }
}
