import type { Postgres } from '../postgres.ts'
import type { Processes } from '../processes.ts'

/** The servers under comparison: the bare engine, the engine with a plain SQL adapter, and Sallyport. */
export const CONTENDERS = ['engine', 'plain', 'sallyport'] as const
export type ContenderName = (typeof CONTENDERS)[number]

export const SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'] as const
export type SigningAlg = (typeof SIGNING_ALGS)[number]

export type Client = Readonly<{ id: string; secret: string | undefined }>
export type Person = Readonly<{ username: string; password: string }>

/** The load generator's view of a server. It is sent to another process as JSON. */
export type Target = Readonly<{
  origin: string
  clients: Readonly<{ web: Client; service: Client; device: Client }>
  people: readonly Person[]
}>

/** One of the servers that are compared. */
export type Contender = Readonly<{
  name: ContenderName
  /** Its database, for counting statements. */
  database: string | undefined
  /** Starts a new process, so that memory left by an earlier scenario does not slow it. */
  start(): Promise<RunningContender>
}>

export type RunningContender = Readonly<{ target: Target; pid: number; stop(): Promise<void> }>

export type ContenderNeeds = Readonly<{
  processes: Processes
  postgres: Postgres
  /** For logs. */
  folder: string
  alg: SigningAlg
  /** All people to register. */
  people: readonly Person[]
}>

/** Registered with every contender. */
export const CALLBACK = 'https://app.example/callback'
export const RESOURCE = 'https://api.example'
export const RESOURCE_SCOPE = 'read'
export const SCOPE = 'openid profile email'

/** People with one password, one per browser, so that no account's rate limits or row locks are shared. */
export function namePeople(count: number): Person[] {
  return Array.from({ length: count }, (_, index) => ({
    username: `person-${index}`,
    password: 'velvet kettle harbor nineteen',
  }))
}
