import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'

const PROCESSES = 8
/** `TAKEOVERS=200` is the full trial. */
const TAKEOVERS = Number(process.env.TAKEOVERS ?? 6)

test(
  `a dead holder's folder is taken over by one of ${PROCESSES} processes, ${TAKEOVERS} times`,
  async () => {
    const home = await mkdtemp(join(tmpdir(), 'race-'))
    const [folder, mark] = [join(home, 'data'), join(home, 'mark')]
    const start = () => startClaimant(script(folder, mark))
    let claimants = await Promise.all(Array.from({ length: PROCESSES }, start))
    let dying: Promise<void> | undefined
    try {
      for (let round = 0; round < TAKEOVERS; round++) {
        // In every second round the claims race with the death of the last holder, and may precede it.
        if (round % 2 === 0) await dying
        let outcomes = await claimAll(claimants)
        await dying
        if (!outcomes.includes('holds')) outcomes = await claimAll(claimants)
        expect(outcomes.toSorted()).toEqual(['holds', ...Array<string>(PROCESSES - 1).fill('refused')])
        const holder = claimants[outcomes.indexOf('holds')]
        await rm(mark)
        claimants = [...claimants.filter((claimant) => claimant !== holder), await start()]
        dying = holder?.kill()
      }
    } finally {
      await Promise.all(claimants.map((claimant) => claimant.kill()))
      await rm(home, { recursive: true })
    }
  },
  20_000 + TAKEOVERS * 3_000,
)

/**
 * Claims the folder for each line of input. A holder creates a marker file, which fails while another holder's exists.
 */
const script = (folder: string, mark: string) => `
  import { writeFile } from 'node:fs/promises'
  import { createInterface } from 'node:readline'
  import { claimDataFolder } from ${JSON.stringify(new URL('data-folder.ts', import.meta.url).href)}
  console.log('ready')
  for await (const _ of createInterface({ input: process.stdin })) {
    try {
      await claimDataFolder(${JSON.stringify(folder)})
      await writeFile(${JSON.stringify(mark)}, '', { flag: 'wx' })
      console.log('holds')
    } catch (error) {
      console.log(error.name === 'DataFolderInUseError' ? 'refused' : error.stack)
    }
  }`

type Claimant = { claim: () => Promise<string>; kill: () => Promise<void> }

async function startClaimant(code: string): Promise<Claimant> {
  const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const { stdin, stdout } = child
  if (!stdin || !stdout) throw new Error('the child has no pipes')
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  await line()
  return {
    async claim() {
      stdin.write('claim\n')
      return await line()
    },
    async kill() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

const claimAll = (claimants: readonly Claimant[]) =>
  Promise.all(claimants.map((claimant) => claimant.claim()))
