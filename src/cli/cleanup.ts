import { Command } from 'commander'
import type { BacklogDocument } from '../admin/admin.ts'
import { printResult, type Terminal, toFields } from './output/terminal.ts'
import { withAdmin } from './with-admin.ts'

export function cleanupCommand(terminal: Terminal): Command {
  return new Command('cleanup')
    .description('delete expired rows')
    .option('--dry-run', 'only count expired rows')
    .option('--json', 'print one JSON document')
    .action(async ({ dryRun = false, ...options }: { dryRun?: boolean; json?: boolean }) => {
      const report = await withAdmin(
        terminal,
        (admin): Promise<BacklogDocument> => (dryRun ? admin.cleanup.count() : admin.cleanup.run()),
      )
      printResult(
        terminal,
        options,
        report,
        (counts) => `${dryRun ? 'Would delete' : 'Deleted'}:\n${toFields(describeBacklog(counts))}`,
      )
    })
}

/** Marks numbers that are lower bounds. */
export function describeBacklog({ at_least = [], ...rows }: BacklogDocument): Record<string, string> {
  const capped: readonly string[] = at_least
  return Object.fromEntries(
    Object.entries(rows).map(([table, count]) => [
      table,
      capped.includes(table) ? `at least ${count}` : String(count),
    ]),
  )
}
