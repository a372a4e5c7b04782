import { withClient } from './fill.ts'

export type Sizes = Readonly<{
  rows: number
  /** Neither expired nor spent. */
  liveTokens: number
  tableBytesPerLiveToken: number
  indexBytesPerLiveToken: number
  /** Tokens, grants and everything else, with indexes. */
  databaseBytesPerLiveToken: number
  indexes: readonly Readonly<{ name: string; bytesPerLiveToken: number }>[]
}>

export async function measureSizes(databaseUrl: string): Promise<Sizes> {
  return await withClient(databaseUrl, async (client) => {
    const { rows: totals } = await client.query<Record<string, string>>(`
      select count(*) as rows,
             count(*) filter (where expires_at > now() and consumed_at is null) as live,
             pg_table_size('oidc_token') as table_bytes,
             pg_indexes_size('oidc_token') as index_bytes,
             pg_database_size(current_database()) as database_bytes
      from oidc_token`)
    const { rows: indexes } = await client.query<{ name: string; bytes: string }>(`
      select indexrelid::regclass::text as name, pg_relation_size(indexrelid) as bytes
      from pg_index where indrelid = 'oidc_token'::regclass order by 2 desc`)
    const total = (name: string) => Number(totals[0]?.[name])
    const live = total('live')
    return {
      rows: total('rows'),
      liveTokens: live,
      tableBytesPerLiveToken: total('table_bytes') / live,
      indexBytesPerLiveToken: total('index_bytes') / live,
      databaseBytesPerLiveToken: total('database_bytes') / live,
      indexes: indexes.map(({ name, bytes }) => ({ name, bytesPerLiveToken: Number(bytes) / live })),
    }
  })
}
