import { createHash } from 'node:crypto'
import pg from 'pg'
import { type Tokens, tokensOf } from './code-flow.ts'
import type { Answer } from './http.ts'

/** The numbers under which the database keeps tokens. */
const KINDS = { 1: 'access', 2: 'code', 3: 'refresh', 5: 'device' } as const

type Kind = (typeof KINDS)[keyof typeof KINDS]
type Row = Readonly<{ hash: string; kind: Kind; isLive: boolean; isSpent: boolean }>

/** The moment from which tokens are new. */
export type Mark = Readonly<{ known: ReadonlySet<string> }>

export type TokenInvariants = ReturnType<typeof createTokenInvariants>

/**
 * Knows every token that any answer ever carried, and what the database must therefore hold: what the clients hold is
 * good, and nothing else is.
 *
 * @param databaseUrl leads straight to Postgres, past every fault.
 */
export function createTokenInvariants(databaseUrl: string) {
  // A pool, for it connects anew when Postgres was restarted.
  const client = new pg.Pool({ connectionString: databaseUrl, max: 1 })
  client.on('error', () => {})
  const carried = new Set<string>()
  /** Carried, and neither spent nor ended since, each with what it is. */
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
    /** Notes the tokens of an answer, if it carried any. */
    record(answer: Pick<Answer, 'body'>): Tokens {
      const tokens = tokensOf(answer)
      for (const [kind, token] of [
        ['access', tokens.accessToken],
        ['refresh', tokens.refreshToken],
      ] as const) {
        // A token that was presented may be carried again; it is spent all the same.
        if (token === '' || carried.has(hashOf(token))) continue
        carried.add(hashOf(token))
        held.set(hashOf(token), kind)
      }
      return tokens
    },

    /** Notes that a refresh token is used: from here on its successor counts, whoever has it. */
    present(refreshToken: string): void {
      held.delete(hashOf(refreshToken))
    },

    async mark(): Promise<Mark> {
      return { known: new Set((await rows()).map(({ hash }) => hash)) }
    },

    /** Whether a code or token was used, as the database has it. */
    async isSpent(token: string): Promise<boolean> {
      return (await rows()).find(({ hash }) => hash === hashOf(token))?.isSpent ?? false
    },

    /**
     * The tokens that came to be since and are good. Orphans were carried by no answer: nobody has them, and nobody
     * will.
     */
    async createdSince({ known }: Mark): Promise<{ access: number; refresh: number; orphans: number }> {
      const born = (await rows()).filter(({ hash, isLive }) => isLive && !known.has(hash))
      const [access = [], refresh = []] = (['access', 'refresh'] as const).map((kind) =>
        born.filter((row) => row.kind === kind),
      )
      const orphans = [...access, ...refresh].filter(({ hash }) => !carried.has(hash))
      return { access: access.length, refresh: refresh.length, orphans: orphans.length }
    },

    /** What clients hold and the database does not have as good; each is told once. */
    async lost(): Promise<string[]> {
      const live = new Set((await rows()).flatMap(({ hash, isLive }) => (isLive ? [hash] : [])))
      const missing = [...held].filter(([hash]) => !live.has(hash))
      for (const [hash] of missing) held.delete(hash)
      return missing.map(([hash, kind]) => `${kind} token ${hash.slice(0, 8)}`)
    },

    /** Forgets what clients hold, after it was ended on purpose. */
    release(): void {
      held.clear()
    },

    /** Changes the database behind the servers' back: to let time pass. */
    async change(statement: string): Promise<void> {
      await client.query(statement)
    },

    close: () => client.end(),
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
