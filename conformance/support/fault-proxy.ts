import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Fault, type Point, ProxiedConnection, type Statement } from './proxied-connection.ts'

export type { Fault, Point, Statement } from './proxied-connection.ts'

type When = Readonly<{
  /** Which of the statements that match, counted from now on; 1 is the next. */
  nth?: number
  /** How many in a row from there; then the trap is spent. */
  times?: number
}>

export type InjectedFault = Readonly<{
  /** The statements that it struck so far. */
  struck: () => readonly string[]
  disarm: () => void
}>

type Filter = (statement: Statement) => boolean
type Armed = {
  matches: Filter
  point: Point
  fault: Fault
  toSkip: number
  toStrike: number
  struck: string[]
}

const everything: Filter = () => true

/** What a server does on its own account, whatever is asked of it: hearing of changes, cleaning up, telling apps, looking whether all is well. */
export const isHousekeeping: Filter = ({ text }) =>
  /^\s*(listen|unlisten|notify|select 1\b)|_expired \*\/|\/\* (clock_read|uptime_beat|schema_served_from) |\/\* backchannel_logout_|\/\* mail_(claim|give_up|count) |_advisory_|from "signing_key"/i.test(
    text,
  )

/**
 * The fault proxy between a server and Postgres, on which everything can happen that happens between the two. It carries one
 * statement of a connection after the other, so that a fault can strike a certain one.
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

  /** @returns the port at which the fault proxy starts. */
  async open(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    const address = this.#server.address()
    return typeof address === 'object' && address ? address.port : 0
  }

  /** The port of the database. */
  get databasePort(): number {
    return this.#to.port
  }

  /** How many statements went along here. */
  get count(): number {
    return this.#count
  }

  /** How many connections were made so far; a statement carries the number of its own. */
  get connections(): number {
    return this.#connections
  }

  /** Cuts every connection and refuses new ones: nobody is there. */
  block(): void {
    this.#isBlocked = true
    this.#cutAll()
  }

  unblock(): void {
    this.#isBlocked = false
  }

  /** Packets are dropped: connections stay open, new ones open, and nothing is ever heard on any of them. */
  blackhole(): void {
    this.#isBlackHole = true
    for (const connection of this.#proxied) connection.swallow()
  }

  /** New connections work. The others stay dead without a word, as when a firewall between forgot them. */
  restore(): void {
    this.#isBlackHole = false
  }

  /** Tells every connection what Postgres tells it when an administrator shuts it down. */
  terminateAll(): void {
    for (const connection of this.#proxied) connection.terminate('57P01')
  }

  /**
   * Has a fault strike statements that match; everything but housekeeping does unless told otherwise.
   *
   * @returns how to see whether it struck, and to take it away when it did not.
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
      toStrike: times,
      struck: [],
    }
    this.#armed.add(armed)
    return { struck: () => armed.struck, disarm: () => this.#armed.delete(armed) }
  }

  /** Notes the statements that go along while something is done. */
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
      armed.struck.push(statement.text)
      if (armed.struck.length === armed.toStrike) this.#armed.delete(armed)
      return armed
    }
    return undefined
  }
}
