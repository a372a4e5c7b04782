import { Command } from 'commander'
import { printResult, type Terminal, toTable } from './output/terminal.ts'
import { withAdmin } from './with-admin.ts'

export function keysCommand(terminal: Terminal): Command {
  const keys = new Command('keys').description('signing keys of tokens')
  keys
    .command('list')
    .description('list the signing keys')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const list = await withAdmin(terminal, (admin) => admin.keys.list())
      printResult(terminal, options, list, (rows) =>
        toTable(rows, ['kid', 'alg', 'state', 'created_at'], 'There are no keys.'),
      )
    })
  return keys
}
