import { Command } from 'commander'
import { addOperation } from './operation.ts'
import { type Terminal, toTable } from './output/terminal.ts'

export function keysCommand(terminal: Terminal): Command {
  const keys = new Command('keys').description('signing keys of tokens')
  addOperation(terminal, keys.command('list').description('list the signing keys'), {
    call: (admin) => admin.keys.list(),
    print: (rows) => toTable(rows, ['kid', 'alg', 'state', 'created_at'], 'There are no keys.'),
  })
  return keys
}
