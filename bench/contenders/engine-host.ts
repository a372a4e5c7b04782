import { createServer } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import Provider from 'oidc-provider'
import type { SigningAlg, Target } from './contender.ts'
import { answerInteractions, clientMetadata, createEngineConfiguration } from './engine-configuration.ts'
import { createMemoryStorage } from './memory-adapter.ts'
import { createPlainStorage } from './plain-adapter.ts'

/** The process of the contenders `engine` and `plain`. The environment selects the storage. */
const target: Target = JSON.parse(process.env.BENCH_TARGET ?? '')
const alg = process.env.BENCH_ALG as SigningAlg
const databaseUrl = process.env.BENCH_DATABASE_URL

const { privateKey } = await generateKeyPair(alg, { extractable: true })
const jwks = { keys: [{ ...(await exportJWK(privateKey)), alg, use: 'sig', kid: 'bench' }] }
const storage = databaseUrl === undefined ? createMemoryStorage() : await createPlainStorage(databaseUrl)
await storage.seed(target.people, clientMetadata(target, alg))

const engine = new Provider(
  target.origin,
  createEngineConfiguration({ ...storage, jwks, alg, cookieKey: 'bench' }),
)
engine.use(answerInteractions(engine))

const server = createServer({ keepAliveTimeout: 65_000 }, engine.callback())
server.listen(Number(new URL(target.origin).port), '127.0.0.1')
process.once('SIGTERM', () => process.exit())
