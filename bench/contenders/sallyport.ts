import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { freePort } from '../free-port.ts'
import {
  CALLBACK,
  type Client,
  type Contender,
  type ContenderNeeds,
  RESOURCE,
  RESOURCE_SCOPE,
  type RunningContender,
  SCOPE,
  type Target,
} from './contender.ts'
import { copyPerson } from './people.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const DATABASE = 'bench_sallyport'

export type Sallyport = Contender &
  Readonly<{
    database: string
    databaseUrl: string
    target: Target
    /** Starts it on a copy of its database. */
    startOn(databaseUrl: string): Promise<RunningContender>
    /** Runs the command line on a database. @returns its output. */
    cli(databaseUrl: string, ...args: string[]): Promise<string>
  }>

/**
 * Sallyport as installed behind a reverse proxy: a separate process with default settings, set up through its command
 * line.
 */
export async function createSallyport({
  processes,
  postgres,
  folder,
  alg,
  people,
}: ContenderNeeds): Promise<Sallyport> {
  const databaseUrl = await postgres.createDatabase(DATABASE)
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const env = {
    ISSUER: origin,
    PORT: String(port),
    MANAGEMENT_PORT: '0',
    DATABASE_URL: databaseUrl,
    ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    // The bench acts as the proxy, and names the client of each request.
    TRUSTED_PROXIES: '127.0.0.1',
  }
  const cli = (args: readonly string[], input = '') => processes.run([MAIN, ...args], { env, input })
  const createClient = async (...args: string[]): Promise<Client> => {
    const document: { client_id: string; client_secret?: string } = JSON.parse(
      await cli(['clients', 'create', '--json', '--name', 'Bench', ...args]),
    )
    return { id: document.client_id, secret: document.client_secret }
  }

  await cli(['migrate'])
  await cli([
    ...['resources', 'create', '--identifier', RESOURCE, '--scope', RESOURCE_SCOPE],
    ...['--format', 'jwt', '--signing-alg', alg],
  ])
  const clients = {
    web: await createClient(
      ...['--type', 'web', '--first-party', '--redirect-uri', CALLBACK],
      ...['--scope', `${SCOPE} offline_access`, '--id-token-alg', alg],
    ),
    service: await createClient('--type', 'service', '--resource', RESOURCE),
    device: await createClient('--type', 'device', '--id-token-alg', alg),
  }
  const [first, ...others] = people
  if (first) {
    const { username, password } = first
    await cli(
      [
        ...['users', 'create', '--username', username, '--name', username],
        ...['--email', `${username}@example.com`, '--password-stdin'],
      ],
      password,
    )
    await copyPerson(databaseUrl, { like: first, people: others })
  }

  const target = { origin, clients, people }
  const startOn = async (url: string): Promise<RunningContender> => {
    const server = await processes.startServer([MAIN, 'serve'], {
      env: { ...env, DATABASE_URL: url },
      readyUrl: `${origin}/.well-known/openid-configuration`,
      logFile: join(folder, 'sallyport.log'),
    })
    return { ...server, target }
  }
  return {
    name: 'sallyport',
    database: DATABASE,
    databaseUrl,
    target,
    start: () => startOn(databaseUrl),
    startOn,
    cli: (url, ...args) => processes.run([MAIN, ...args], { env: { ...env, DATABASE_URL: url } }),
  }
}
