import { Command } from 'commander'
import type { Terminal } from './terminal.ts'

export function tryCommand(_terminal: Terminal): Command {
  return new Command('try')
}
