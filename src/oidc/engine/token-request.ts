import type { TokenKind } from '../../db/token-kind.ts'
import type { FoundToken, Token } from '../../store/token/token.ts'

/** The authorization code, device code or refresh token that a client presents, as it was found. */
type Presented = FoundToken & Readonly<{ kindName: TokenKind; idHash: Uint8Array }>

/** How far the request has come with the token that it presents. */
export type Use = Readonly<
  /** It was not spent before; the engine checks the request. */
  | { state: 'presented' }
  /** The engine's checks passed: the commit must spend it. */
  | { state: 'spent' }
  /**
   * It was spent moments ago: a retry or a duplicate. `lateAnswer` is the sealed answer when the token was spent before
   * the replay window, and the database or an instance was away since.
   */
  | { state: 'replayed'; lateAnswer: Uint8Array | undefined }
  /** It was spent before that: the client or an attacker holds a copy (RFC 9700 §4.14.2). */
  | { state: 'reused' }
>

export type Source = Presented & Use

export type TokenRequest = ReturnType<typeof createTokenRequest>

/** The state of a token request: recorded by the adapter, read by the token endpoint. */
export function createTokenRequest(hasClientLeft: () => boolean) {
  const issued: Token[] = []
  let source: Source | undefined
  return {
    /** Whether the client disconnected, so that it cannot receive the answer. */
    hasClientLeft,

    recordSource(found: Source): void {
      source = found
    },

    /** undefined for client credentials, and when the engine refused before it looked the token up. */
    get source(): Source | undefined {
      return source
    },

    /** The engine's checks passed. A replayed token stays replayed. */
    markSpent(): void {
      if (!source) throw new TypeError('a token is spent by a token request that found it')
      if (source.state === 'presented') source = { ...source, state: 'spent' }
    },

    recordIssued(token: Token): void {
      issued.push(token)
    },

    /** The tokens to be stored. */
    issued: issued as readonly Token[],
  }
}
