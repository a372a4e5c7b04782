import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import {
  closedBy,
  createMessageReader,
  errorResponse,
  type Message,
  readyForQuery,
  simpleQuery,
  statusOf,
  stringsOf,
  type TransactionStatus,
} from './postgres-wire.ts'

/** A simple Query, or an extended query up to its Sync. */
export type Statement = Readonly<{
  /** The SQL, also of a prepared statement, whose text is sent only once a connection. */
  text: string
  /** The number of the connection, counted from 1. */
  connection: number
}>

/** Before Postgres receives the statement, or after Postgres executed it, while the server does not know the result. */
export type Point = 'before' | 'after'

export type Fault =
  /**
   * An error in place of the answer. After the statement, codes that promise a rollback are wrong, which no Postgres
   * does; the guarantees must hold even then. Class 57P ends the connection.
   */
  | Readonly<{ kind: 'error'; sqlState: string }>
  | Readonly<{ kind: 'delay'; milliseconds: number }>
  /** Like a delay, until the promise resolves. */
  | Readonly<{ kind: 'hold'; until: Promise<unknown> }>
  /** Closes the connection. `meanwhile` completes before either side notices. */
  | Readonly<{ kind: 'drop'; meanwhile?: () => Promise<void> }>

const ENDS_TRANSACTION = /^\s*(commit|end|rollback|abort)\b(?!\s+to\b)/i
/** The messages of an answer that precede execution: they are sent also when execution fails. */
const BEFORE_EXECUTION = ['1', '2', '3', 't', 'T', 'n']

/** A connection of a server to Postgres. */
export class ProxiedConnection {
  readonly #incoming: Socket
  readonly #outgoing: Socket
  readonly #number: number
  readonly #faultOf: (statement: Statement) => { point: Point; fault: Fault } | undefined
  readonly #waiting: Message[][] = []
  readonly #prepared = new Map<string, string>()
  #gathered: Message[] = []
  /** Resolves with the answer to the running statement. */
  #answered: ((answer: Message[] | undefined) => void) | undefined
  #answer: Message[] = []
  #status: TransactionStatus = 'I'
  /** Whether the server received an error in a transaction that is intact in Postgres. */
  #isFailed = false
  #isCarrying = false
  #isSwallowed = false

  constructor(
    number: number,
    incoming: Socket,
    outgoing: Socket,
    faultOf: (statement: Statement) => { point: Point; fault: Fault } | undefined,
  ) {
    this.#number = number
    this.#incoming = incoming
    this.#outgoing = outgoing
    this.#faultOf = faultOf
    for (const socket of [incoming, outgoing]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
    }
    const fromServer = createMessageReader({ startsUntyped: true })
    const fromPostgres = createMessageReader({ startsUntyped: false })
    incoming.on('data', (chunk) => {
      if (!this.#isSwallowed) for (const message of fromServer(chunk)) this.#hearServer(message)
    })
    outgoing.on('data', (chunk) => {
      if (!this.#isSwallowed) for (const message of fromPostgres(chunk)) this.#hearPostgres(message)
    })
    incoming.on('close', () => {
      // A black hole also hides from Postgres that the server closed the connection.
      if (!this.#isSwallowed) outgoing.destroy()
    })
    outgoing.on('close', () => {
      if (this.#isSwallowed) return
      this.#send(this.#answer)
      this.#finish(undefined)
      incoming.end()
    })
  }

  whenClosed(then: () => void): void {
    let open = 2
    for (const socket of [this.#incoming, this.#outgoing])
      socket.on('close', () => {
        open--
        if (open === 0) then()
      })
  }

  cut(): void {
    this.#incoming.destroy()
    this.#outgoing.destroy()
  }

  swallow(): void {
    this.#isSwallowed = true
  }

  terminate(sqlState: string): void {
    this.#incoming.end(
      errorResponse('FATAL', sqlState, 'terminating connection due to administrator command'),
    )
    this.#answer = []
    this.#outgoing.destroy()
  }

  #hearServer(message: Message): void {
    switch (message.type) {
      case 'Q':
        this.#waiting.push([message])
        void this.#carryOn()
        return
      case 'P':
      case 'B':
      case 'D':
      case 'E':
      case 'C':
      case 'H':
        this.#gathered.push(message)
        return
      case 'S':
        this.#waiting.push([...this.#gathered, message])
        this.#gathered = []
        void this.#carryOn()
        return
      default:
        // Start-up, passwords, Terminate.
        this.#outgoing.write(message.bytes)
    }
  }

  #hearPostgres(message: Message): void {
    // Notices, notifications and parameters arrive at any time.
    const isUnasked = this.#answered === undefined || ['N', 'A'].includes(message.type)
    if (isUnasked || message.type === 'S') {
      this.#send([message])
      return
    }
    this.#answer.push(message)
    if (message.type === 'Z') this.#finish(this.#answer)
  }

  #finish(answer: Message[] | undefined): void {
    const answered = this.#answered
    this.#answered = undefined
    this.#answer = []
    answered?.(answer)
  }

  async #carryOn(): Promise<void> {
    if (this.#isCarrying) return
    this.#isCarrying = true
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) await this.#carry(next)
    this.#isCarrying = false
  }

  async #carry(messages: Message[]): Promise<void> {
    const statement = { text: this.#textOf(messages), connection: this.#number }
    const injected = this.#faultOf(statement)
    const wasInTransaction = this.#status !== 'I'
    if (injected?.point === 'before' && (await this.#apply(injected.fault)) === 'over') {
      if (injected.fault.kind === 'error')
        await this.#fail(injected.fault.sqlState, [], wasInTransaction, statement)
      return
    }
    if (this.#isFailed) {
      await this.#refuse(statement)
      return
    }
    const answer = await this.#ask(Buffer.concat(messages.map(({ bytes }) => bytes)))
    if (!answer) return
    if (injected?.point === 'after' && (await this.#apply(injected.fault)) === 'over') {
      if (injected.fault.kind === 'error')
        await this.#fail(injected.fault.sqlState, answer, wasInTransaction, statement)
      return
    }
    this.#send(answer)
  }

  async #apply(fault: Fault): Promise<'goes on' | 'over'> {
    switch (fault.kind) {
      case 'delay':
        await pause(fault.milliseconds)
        return 'goes on'
      case 'hold':
        await fault.until
        return 'goes on'
      case 'drop':
        await fault.meanwhile?.()
        this.cut()
        return 'over'
      case 'error':
        return 'over'
    }
  }

  /** Answers with an error as Postgres would, and brings the transaction in Postgres to the same state. */
  async #fail(
    sqlState: string,
    answer: Message[],
    wasInTransaction: boolean,
    { text }: Statement,
  ): Promise<void> {
    if (sqlState.startsWith('57P')) {
      this.terminate(sqlState)
      return
    }
    const isOver = !wasInTransaction || ENDS_TRANSACTION.test(text)
    if (isOver && this.#status !== 'I') await this.#ask(simpleQuery('rollback'))
    this.#isFailed = !isOver
    // A statement fails in execution, after it was parsed and bound.
    this.#send(answer.filter(({ type }) => BEFORE_EXECUTION.includes(type)))
    this.#write(errorResponse('ERROR', sqlState, `a fault of the test, ${sqlState}`))
    this.#write(readyForQuery(isOver ? 'I' : 'E'))
  }

  /** In a failed transaction, refuses all statements but its end, which rolls it back. */
  async #refuse({ text }: Statement): Promise<void> {
    if (/^\s*(commit|end|rollback|abort)\b/i.test(text)) {
      this.#isFailed = false
      const answer = await this.#ask(simpleQuery(/\bto\b/i.test(text) ? text : 'rollback'))
      if (answer) this.#send(answer)
      return
    }
    const words = 'current transaction is aborted, commands ignored until end of transaction block'
    this.#write(errorResponse('ERROR', '25P02', words))
    this.#write(readyForQuery('E'))
  }

  /** @returns the complete answer; undefined when the connection is lost. */
  async #ask(question: Buffer): Promise<Message[] | undefined> {
    if (this.#outgoing.destroyed) return undefined
    const { promise, resolve } = Promise.withResolvers<Message[] | undefined>()
    this.#answered = resolve
    this.#outgoing.write(question)
    const answer = await promise
    const ready = answer?.at(-1)
    if (ready) this.#status = statusOf(ready)
    return answer
  }

  #textOf(messages: readonly Message[]): string {
    const texts: string[] = []
    for (const message of messages) {
      if (message.type === 'Q') texts.push(...stringsOf(message, 1))
      if (message.type === 'P') {
        const [name = '', text = ''] = stringsOf(message, 2)
        this.#prepared.set(name, text)
      }
      if (message.type === 'B') texts.push(this.#prepared.get(stringsOf(message, 2)[1] ?? '') ?? '')
      if (message.type === 'C') {
        const { kind, name } = closedBy(message)
        if (kind === 'S') this.#prepared.delete(name)
      }
    }
    return texts.join('; ')
  }

  #send(messages: readonly Message[]): void {
    if (messages.length > 0) this.#write(Buffer.concat(messages.map(({ bytes }) => bytes)))
  }

  #write(bytes: Buffer): void {
    if (!this.#isSwallowed && this.#incoming.writable) this.#incoming.write(bytes)
  }
}
