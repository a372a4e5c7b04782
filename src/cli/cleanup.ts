import { Command } from 'commander'
import { printResult, type Terminal, toFields } from './terminal.ts'
import { withAdmin } from './with-admin.ts'

export function cleanupCommand(terminal: Terminal): Command {
  return new Command('cleanup')
    .description('delete expired rows')
    .option('--dry-run', 'only count them')
    .option('--json', 'print one JSON document')
    .action(async (options: { dryRun?: boolean; json?: boolean }) => {
      const report = await withAdmin(terminal, (admin) =>
        options.dryRun ? admin.cleanup.count() : admin.cleanup.run(),
      )
      printResult(
        terminal,
        options,
        report,
        (counts) => `${options.dryRun ? 'Would delete' : 'Deleted'}:\n${toFields(counts)}`,
      )
    })
}
