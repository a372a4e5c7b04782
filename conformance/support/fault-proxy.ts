import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Fault, type Point, ProxiedConnection, type Statement } from './proxied-connection.ts'

export type { Fault, Point, Statement } from './proxied-connection.ts'

type When = Readonly<{
  /** The first matching statement to affect, counted from now on; 1 is the next. */
  nth?: number
  /** How many matching statements to affect from there. */
  times?: number
}>

type InjectedFault = Readonly<{
  /** The statements affected so far. */
  affected: () => readonly string[]
  disarm: () => void
}>

type Filter = (statement: Statement) => boolean
type Armed = {
  matches: Filter
  point: Point
  fault: Fault
  toSkip: number
  toAffect: number
  affected: string[]
}

const everything: Filter = () => true

/** Statements of background jobs: change notifications, cleanup, deliveries, health checks. */
export const isHousekeeping: Filter = ({ text }) =>
  /^\s*(listen|unlisten|notify|select 1\b)|_expired \*\/|\/\* (clock_read|uptime_beat|schema_served_from) |\/\* backchannel_logout_|\/\* mail_(claim|give_up|count) |_advisory_|from "signing_key"/i.test(
    text,
  )

/**
 * A proxy between a server and Postgres that can inject faults. It forwards the statements of a connection one at a
 * time, so that a fault affects exactly one of them.
 */
export class FaultProxy {
  readonly #to: { host: string; port: number }
  readonly #proxied = new Set<ProxiedConnection>()
  readonly #server: Server
  readonly #armed = new Set<Armed>()
  readonly #watchers = new Set<(statement: Statement) => void>()
  #isBlocked = false
  #isBlackHole = false
  #count = 0
  #connections = 0

  constructor(to: { host: string; port: number }) {
    this.#to = to
    this.#server = createServer((incoming) => this.#accept(incoming))
  }

  /** Starts to listen. @returns the port. */
  async open(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    const address = this.#server.address()
    return typeof address === 'object' && address ? address.port : 0
  }

  /** The port of the database. */
  get databasePort(): number {
    return this.#to.port
  }

  /** The number of statements so far. */
  get count(): number {
    return this.#count
  }

  /** The number of connections so far; a statement has the number of its connection. */
  get connections(): number {
    return this.#connections
  }

  /** Closes every connection and refuses new ones. */
  block(): void {
    this.#isBlocked = true
    this.#cutAll()
  }

  unblock(): void {
    this.#isBlocked = false
  }

  /** Drops all packets: connections stay open and new ones open, but no data arrives. */
  blackhole(): void {
    this.#isBlackHole = true
    for (const connection of this.#proxied) connection.swallow()
  }

  /** Lets new connections work. Existing ones stay dead, as if a firewall had dropped their state. */
  restore(): void {
    this.#isBlackHole = false
  }

  /** Sends every connection the error of an administrator's shutdown (57P01). */
  terminateAll(): void {
    for (const connection of this.#proxied) connection.terminate('57P01')
  }

  /**
   * Injects a fault into matching statements; by default all but those of background jobs match.
   *
   * @returns the statements affected so far, and how to remove the fault.
   */
  onStatement(
    point: Point,
    fault: Fault,
    { nth = 1, times = 1 }: When = {},
    matches?: Filter,
  ): InjectedFault {
    const armed: Armed = {
      matches: matches ?? ((statement) => !isHousekeeping(statement)),
      point,
      fault,
      toSkip: nth - 1,
      toAffect: times,
      affected: [],
    }
    this.#armed.add(armed)
    return { affected: () => armed.affected, disarm: () => this.#armed.delete(armed) }
  }

  /** Records the statements during `work`. */
  async watch(work: () => Promise<unknown>, matches: Filter = everything): Promise<string[]> {
    const texts: string[] = []
    const watcher = (statement: Statement) => {
      if (matches(statement)) texts.push(statement.text)
    }
    this.#watchers.add(watcher)
    try {
      await work()
    } finally {
      this.#watchers.delete(watcher)
    }
    return texts
  }

  close(): void {
    this.block()
    this.#server.close()
  }

  #accept(incoming: Socket): void {
    if (this.#isBlocked) {
      incoming.destroy()
      return
    }
    const connection = new ProxiedConnection(++this.#connections, incoming, connect(this.#to), (statement) =>
      this.#faultOf(statement),
    )
    this.#proxied.add(connection)
    connection.whenClosed(() => this.#proxied.delete(connection))
    if (this.#isBlackHole) connection.swallow()
  }

  #cutAll(): void {
    for (const connection of this.#proxied) connection.cut()
  }

  #faultOf(statement: Statement): Armed | undefined {
    this.#count++
    for (const watcher of this.#watchers) watcher(statement)
    for (const armed of this.#armed) {
      if (!armed.matches(statement)) continue
      if (armed.toSkip > 0) {
        armed.toSkip--
        continue
      }
      armed.affected.push(statement.text)
      if (armed.affected.length === armed.toAffect) this.#armed.delete(armed)
      return armed
    }
    return undefined
  }
}
