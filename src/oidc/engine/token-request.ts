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

/** The state of a token request: recorded by the adapter, read by the token endpoint. */
export class TokenRequest {
  /** Whether the client disconnected, so that it cannot receive the answer. */
  readonly hasClientLeft: () => boolean
  readonly #issued: Token[] = []
  #source: Source | undefined

  constructor(hasClientLeft: () => boolean) {
    this.hasClientLeft = hasClientLeft
  }

  recordSource(source: Source): void {
    this.#source = source
  }

  /** undefined for client credentials, and when the engine refused before it looked the token up. */
  get source(): Source | undefined {
    return this.#source
  }

  /** The engine's checks passed. A replayed token stays replayed. */
  markSpent(): void {
    const source = this.#source
    if (!source) throw new TypeError('a token is spent by a token request that found it')
    if (source.state === 'presented') this.#source = { ...source, state: 'spent' }
  }

  recordIssued(token: Token): void {
    this.#issued.push(token)
  }

  get issued(): readonly Token[] {
    return this.#issued
  }
}
