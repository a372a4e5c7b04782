import type { CountedStatement } from '../postgres.ts'
import { withClient } from './fill.ts'

/** For a table of this size a sequential scan is the best plan. */
const SMALL_TABLE_ROWS = 1_000
/** A statement of fewer requests is not hot. It is low because a batch serves many requests. */
const HOT_SHARE = 0.01
const EXPLAINABLE = /^\s*(\/\*.*?\*\/\s*)*(select|insert|update|delete|with|merge)\b/is

export type Plan = Readonly<{
  text: string
  callsPerRequest: number
  /** The output of EXPLAIN, or its error. */
  lines: readonly string[]
  /** Growing tables that the plan scans sequentially; undefined without a plan. */
  scanned: readonly string[] | undefined
}>

/** Explains every statement that the load sent (`GENERIC_PLAN`, Postgres 16 or newer). */
export async function explainHot(
  databaseUrl: string,
  statements: readonly CountedStatement[],
  requests: number,
): Promise<Plan[]> {
  const hot = statements.filter(({ text, calls }) => EXPLAINABLE.test(text) && calls >= requests * HOT_SHARE)
  return await withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select relname as name from pg_class where relkind in ('r', 'p') and reltuples > ${SMALL_TABLE_ROWS}`,
    )
    const large = new Set(rows.map(({ name }) => name))
    const plans: Plan[] = []
    for (const { text, calls } of hot) {
      const explained = await client
        .query<{ 'QUERY PLAN': string }>(`explain (generic_plan, costs off) ${text}`)
        .then(
          (result) => result.rows.map((row) => row['QUERY PLAN']),
          (error: Error) => error,
        )
      const isPlan = !(explained instanceof Error)
      plans.push({
        text,
        callsPerRequest: calls / requests,
        lines: isPlan ? explained : [`no plan: ${explained.message}`],
        scanned: isPlan ? findScanned(explained).filter((table) => large.has(table)) : undefined,
      })
    }
    return plans
  })
}

/** The tables that a plan scans sequentially. */
export function findScanned(lines: readonly string[]): string[] {
  return lines.flatMap((line) => /\bSeq Scan on (\S+)/.exec(line)?.[1] ?? [])
}
