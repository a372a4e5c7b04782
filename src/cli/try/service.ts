import * as client from 'openid-client'
import { type Terminal, UsageError } from '../terminal.ts'
import { askedFor, discover, explain, type TryOptions } from './app.ts'
import { examine, printReport } from './report.ts'

/** Client credentials: a service acts for itself. */
export async function tryService(terminal: Terminal, options: TryOptions): Promise<void> {
  if (options.clientSecret === undefined) {
    const { clientId } = options
    throw new UsageError(
      `--client-secret is missing. It was shown when ${clientId} was made; npx sallyport clients rotate-secret ${clientId} makes a new one.`,
    )
  }
  const config = await discover(terminal, options)
  try {
    const tokens = await client.clientCredentialsGrant(config, askedFor(options))
    printReport(terminal, options, await examine(config, tokens))
  } catch (error) {
    throw explain(error)
  }
}
