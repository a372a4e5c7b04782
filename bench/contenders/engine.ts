import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { freePort } from '../free-port.ts'
import type { Contender, ContenderName, ContenderNeeds } from './contender.ts'

const HOST = join(import.meta.dirname, 'engine-host.ts')
const DATABASE = 'bench_plain'

/** The engine in a process of its own, on one of the two adapters of the bench. */
export async function createEngineContender(
  name: Extract<ContenderName, 'engine' | 'plain'>,
  { processes, postgres, folder, alg, people }: ContenderNeeds,
): Promise<Contender> {
  const databaseUrl = name === 'plain' ? await postgres.createDatabase(DATABASE) : undefined
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const clients = {
    web: { id: 'web', secret: randomBytes(32).toString('base64url') },
    service: { id: 'service', secret: randomBytes(32).toString('base64url') },
    device: { id: 'device', secret: undefined },
  }
  const target = { origin, clients, people }
  return {
    name,
    database: databaseUrl === undefined ? undefined : DATABASE,
    async start() {
      const server = await processes.startServer([HOST], {
        env: {
          BENCH_TARGET: JSON.stringify(target),
          BENCH_ALG: alg,
          ...(databaseUrl === undefined ? {} : { BENCH_DATABASE_URL: databaseUrl }),
        },
        readyUrl: `${origin}/.well-known/openid-configuration`,
        logFile: join(folder, `${name}.log`),
      })
      return { ...server, target }
    },
  }
}
