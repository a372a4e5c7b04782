import { toPrintable } from '../output/printable.ts'
import { print, toFields } from '../output/terminal.ts'
import type { RelyingParty } from './relying-party.ts'
import { examineTokens, type Outcome, type Tokens } from './tokens.ts'

/** Claims in seconds since 1970, which are also shown as a date. */
const INSTANTS = new Set(['exp', 'iat', 'nbf', 'auth_time', 'updated_at'])
const LAST_INSTANT_SECONDS = 8.64e12

export async function showTokens(party: RelyingParty, tokens: Tokens): Promise<void> {
  const outcome = await examineTokens(party, tokens)
  const text = party.json ? JSON.stringify(outcome, null, 2) : describe(outcome)
  print(party.terminal, toPrintable(text, { keepLineEnds: true }))
}

export function describe({ id_token_claims, access_token_claims, userinfo, ...tokens }: Outcome): string {
  return [
    chapter('Tokens', tokens),
    chapter('ID token, verified', id_token_claims),
    access_token_claims
      ? chapter('Access token, verified', access_token_claims)
      : 'Access token\n  opaque: an API validates it by introspection',
    chapter('Userinfo', userinfo),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

function chapter(title: string, document: Readonly<Record<string, unknown>> | undefined): string {
  if (!document) return ''
  const readable = Object.fromEntries(
    // One line each: a line end in a value could imitate another field.
    Object.entries(document).map(([name, value]) => [toPrintable(name), toReadable(name, value)]),
  )
  return `${title}\n${toFields(readable).replace(/^/gm, '  ')}`
}

function toReadable(name: string, value: unknown): unknown {
  if (typeof value === 'string') return toPrintable(value)
  const isInstant = INSTANTS.has(name) && typeof value === 'number' && Math.abs(value) <= LAST_INSTANT_SECONDS
  return isInstant ? `${value} (${new Date(value * 1000).toISOString()})` : value
}
