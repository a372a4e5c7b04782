import { rmSync } from 'node:fs'
import { chmod, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContenderNeeds, namePeople, type SigningAlg } from './contenders/contender.ts'
import { createSallyport, type Sallyport } from './contenders/sallyport.ts'
import { startPostgres } from './postgres.ts'
import { createProcesses } from './processes.ts'
import { describeMachine, type Machine } from './report/machine.ts'

export type Installation = ContenderNeeds &
  Readonly<{ sallyport: Sallyport; machine: Machine; tell: (progress: string) => void }>

/**
 * Provides a Postgres, a folder and an installed Sallyport, and removes all of them afterwards, also on failure.
 *
 * @param people how many to register.
 */
export async function withInstallation<Result>(
  { alg, people: count }: { alg: SigningAlg; people: number },
  work: (installation: Installation) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'))
  // Postgres may run as another user, and its folder is in this one.
  await chmod(folder, 0o755)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const processes = createProcesses(folder)
  // Standard output has the result only.
  const tell = (progress: string) => process.stderr.write(`${progress}\n`)
  tell('starting Postgres and registering people and clients')
  const postgres = await startPostgres(folder, process.env.BENCH_DATABASE_URL)
  try {
    const needs = { processes, postgres, folder, alg, people: namePeople(count) }
    const sallyport = await createSallyport(needs)
    return await work({ ...needs, sallyport, machine: describeMachine(postgres), tell })
  } finally {
    await postgres.stop()
  }
}
