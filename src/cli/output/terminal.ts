/**
 * Room cli/output/: how commands read and write: documents, tables, questions and secrets (this file), audit events one
 * per line, and the escaping of text from outside.
 */

import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { toPrintable } from './printable.ts'

/** The process, as a command sees it. */
export type Terminal = Readonly<{
  env: Readonly<Record<string, string | undefined>>
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean }
  /** Stops a long-running command. The reason is an Error whose `signal` names the process signal, if there was one. */
  signal: AbortSignal
  /** Lets a stopping command finish: further process signals are ignored. */
  ignoreFurtherSignals: () => void
}>

/** The command line was wrong: exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}

const MAX_STDIN_BYTES = 64 * 1024

export function print({ stdout }: Terminal, text: string): void {
  stdout.write(`${text}\n`)
}

/** Prints a command's result: one JSON document for programs, lines for people. */
export function printResult<T>(
  terminal: Terminal,
  { json }: { json?: boolean },
  result: T,
  toLines: (result: T) => string,
): void {
  print(
    terminal,
    json ? toPrintable(JSON.stringify(result, null, 2), { keepLineEnds: true }) : toLines(result),
  )
}

/** `name  value` lines, names aligned; lists and objects on one line. */
export function toFields(document: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(document).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  )
  const width = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${toText(value)}`).join('\n')
}

/** A table with a header; for an empty list `whenEmpty`. */
export function toTable(
  rows: readonly Readonly<Record<string, unknown>>[],
  columns: readonly string[],
  whenEmpty: string,
): string {
  if (rows.length === 0) return whenEmpty
  const cells = [
    columns.map((column) => column.toUpperCase()),
    ...rows.map((row) => columns.map((column) => toText(row[column]))),
  ]
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)))
  return cells
    .map((line) =>
      line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/**
 * Asks for confirmation before a destructive operation.
 *
 * @throws {UsageError} when stdin is no terminal and `--yes` was not given, or the answer is no.
 */
export async function confirm(
  { stdin, stderr }: Terminal,
  { yes }: { yes?: boolean },
  question: string,
): Promise<void> {
  if (yes) return
  if (!stdin.isTTY) throw new UsageError(`${question} Pass --yes to confirm without a terminal.`)
  const prompt = createInterface({ input: stdin, output: stderr })
  const answer = await prompt.question(`${question} [y/N] `)
  prompt.close()
  if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('Nothing was changed.')
}

/**
 * Reads a secret from standard input, without the line end that `echo` adds.
 *
 * @throws {UsageError} when it is too long or not UTF-8: replacement characters would make a password that cannot be
 *   typed.
 */
export async function readSecret({ stdin, stderr }: Terminal): Promise<string> {
  if (stdin.isTTY) stderr.write('Password (it is shown as you type; end with Enter and Ctrl-D): ')
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    length += bytes.length
    if (length > MAX_STDIN_BYTES) throw new UsageError('The password on standard input is too long.')
    chunks.push(bytes)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)).replace(/\r?\n$/, '')
  } catch {
    throw new UsageError('The password on standard input is not UTF-8.')
  }
}

/** Resolves when the signal is aborted, also when it was before. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((done) => signal.addEventListener('abort', done, { once: true }))
}

function toText(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map(toText).join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
