import { createHash } from 'node:crypto'
import pg from 'pg'
import { type Tokens, tokensOf } from './code-flow.ts'
import type { Answer } from './http.ts'

/** The kinds of tokens by their number in the database. */
const KINDS = { 1: 'access', 2: 'code', 3: 'refresh', 5: 'device' } as const

type Kind = (typeof KINDS)[keyof typeof KINDS]
type Row = Readonly<{ hash: string; kind: Kind; isLive: boolean; isSpent: boolean }>

/** The tokens that existed at a moment. */
export type Mark = Readonly<{ known: ReadonlySet<string> }>

export type TokenInvariants = ReturnType<typeof createTokenInvariants>

/**
 * Records the tokens of every answer and compares them with the database: a token that a client holds must be active,
 * and no other token may be.
 *
 * @param databaseUrl the URL of Postgres itself, without a fault proxy.
 */
export function createTokenInvariants(databaseUrl: string) {
  // A pool reconnects after Postgres was restarted.
  const client = new pg.Pool({ connectionString: databaseUrl, max: 1 })
  client.on('error', () => {})
  const carried = new Set<string>()
  /** The tokens of answers that are neither spent nor revoked, with their kind. */
  const held = new Map<string, Kind>()

  async function rows(): Promise<Row[]> {
    const { rows: found } = await client.query<{
      hash: string
      kind: keyof typeof KINDS
      expired: boolean
      spent: boolean
    }>(
      `select encode(id_hash, 'hex') as hash, kind, expires_at <= now() as expired, consumed_at is not null as spent
       from oidc_token where kind in (${Object.keys(KINDS).join()})`,
    )
    return found.map(({ hash, kind, expired, spent }) => ({
      hash,
      kind: KINDS[kind],
      isLive: !expired && !spent,
      isSpent: spent,
    }))
  }

  return {
    /** Records the tokens of an answer. */
    record(answer: Pick<Answer, 'body'>): Tokens {
      const tokens = tokensOf(answer)
      for (const [kind, token] of [
        ['access', tokens.accessToken],
        ['refresh', tokens.refreshToken],
      ] as const) {
        // A repeated answer may contain a token that was presented meanwhile and is spent.
        if (token === '' || carried.has(hashOf(token))) continue
        carried.add(hashOf(token))
        held.set(hashOf(token), kind)
      }
      return tokens
    },

    /** Records that a refresh token is used: from now on its successor counts. */
    present(refreshToken: string): void {
      held.delete(hashOf(refreshToken))
    },

    async mark(): Promise<Mark> {
      return { known: new Set((await rows()).map(({ hash }) => hash)) }
    },

    /** Whether a code or token is spent in the database. */
    async isSpent(token: string): Promise<boolean> {
      return (await rows()).find(({ hash }) => hash === hashOf(token))?.isSpent ?? false
    },

    /**
     * Counts the active tokens created since a mark. Orphans are those that no answer contained.
     */
    async createdSince({ known }: Mark): Promise<{ access: number; refresh: number; orphans: number }> {
      const born = (await rows()).filter(({ hash, isLive }) => isLive && !known.has(hash))
      const [access = [], refresh = []] = (['access', 'refresh'] as const).map((kind) =>
        born.filter((row) => row.kind === kind),
      )
      const orphans = [...access, ...refresh].filter(({ hash }) => !carried.has(hash))
      return { access: access.length, refresh: refresh.length, orphans: orphans.length }
    },

    /** Tokens that clients hold and that are not active in the database; each is returned once. */
    async lost(): Promise<string[]> {
      const live = new Set((await rows()).flatMap(({ hash, isLive }) => (isLive ? [hash] : [])))
      const missing = [...held].filter(([hash]) => !live.has(hash))
      for (const [hash] of missing) held.delete(hash)
      return missing.map(([hash, kind]) => `${kind} token ${hash.slice(0, 8)}`)
    },

    /** Forgets the tokens of clients after a deliberate revocation. */
    release(): void {
      held.clear()
    },

    /** Runs SQL in the database, for example to move times. */
    async change(statement: string): Promise<void> {
      await client.query(statement)
    },

    close: () => client.end(),
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
