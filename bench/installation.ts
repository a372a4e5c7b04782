import { rmSync } from 'node:fs'
import { chmod, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ContenderNeeds, SigningAlg } from './contenders/contender.ts'
import { startPostgres } from './postgres.ts'
import { createProcesses } from './processes.ts'
import { describeMachine, type Machine } from './report/machine.ts'

export type Installation = ContenderNeeds & Readonly<{ machine: Machine; tell: (progress: string) => void }>

/** Lends a Postgres and a folder, and takes both away again whatever happens. */
export async function withInstallation(
  alg: SigningAlg,
  work: (installation: Installation) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'))
  // Postgres may run as another user than ours, and its folder lies in this one.
  await chmod(folder, 0o755)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const processes = createProcesses()
  // Standard output is for the result alone.
  const tell = (progress: string) => process.stderr.write(`${progress}\n`)
  tell('starting Postgres and registering people and clients')
  const postgres = await startPostgres(folder, process.env.BENCH_DATABASE_URL)
  try {
    await work({ processes, postgres, folder, alg, machine: describeMachine(postgres), tell })
  } finally {
    await postgres.stop()
  }
}
