import { Command } from 'commander'
import type { BacklogDocument } from '../admin/admin.ts'
import { addOperation, type OperationOptions } from './operation.ts'
import { type Terminal, toFields } from './output/terminal.ts'

export function cleanupCommand(terminal: Terminal): Command {
  const cleanup = new Command('cleanup')
    .description('delete expired rows')
    .option('--dry-run', 'only count expired rows')
  addOperation(terminal, cleanup, {
    call: async (admin, _name, { dryRun = false }: OperationOptions & { dryRun?: boolean }) => {
      const report: BacklogDocument = await (dryRun ? admin.cleanup.count() : admin.cleanup.run())
      return report
    },
    print: (counts) =>
      `${cleanup.opts().dryRun ? 'Would delete' : 'Deleted'}:\n${toFields(describeBacklog(counts))}`,
  })
  return cleanup
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
