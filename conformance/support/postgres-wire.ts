/**
 * The part of the frontend/backend protocol that a proxy needs to find statements and their answers, and to answer in
 * place of Postgres.
 *
 * @see https://www.postgresql.org/docs/18/protocol-message-formats.html
 */
export type Message = Readonly<{ type: string; bytes: Buffer }>

/** The status in ReadyForQuery: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E'

const TYPE_BYTES = 1
const LENGTH_BYTES = 4

/** Splits a stream into messages. The first message of a frontend has no type; its type is ''. */
export function createMessageReader({ startsUntyped }: { startsUntyped: boolean }) {
  let rest: Buffer = Buffer.alloc(0)
  let isUntyped = startsUntyped
  return (chunk: Buffer): Message[] => {
    rest = Buffer.concat([rest, chunk])
    const messages: Message[] = []
    for (;;) {
      const typeBytes = isUntyped ? 0 : TYPE_BYTES
      if (rest.length < typeBytes + LENGTH_BYTES) return messages
      const end = typeBytes + rest.readInt32BE(typeBytes)
      if (rest.length < end) return messages
      messages.push({ type: rest.toString('latin1', 0, typeBytes), bytes: rest.subarray(0, end) })
      rest = rest.subarray(end)
      isUntyped = false
    }
  }
}

/** The first zero-terminated strings of a message's body. */
export function stringsOf({ bytes }: Message, count: number): string[] {
  const strings: string[] = []
  let start = TYPE_BYTES + LENGTH_BYTES
  while (strings.length < count) {
    const end = bytes.indexOf(0, start)
    strings.push(bytes.toString('utf8', start, end))
    start = end + 1
  }
  return strings
}

/** The kind and name in a Close message: 'S' is a prepared statement, 'P' a portal. */
export function closedBy({ bytes }: Message): { kind: string; name: string } {
  const start = TYPE_BYTES + LENGTH_BYTES
  return {
    kind: bytes.toString('latin1', start, start + 1),
    name: bytes.toString('utf8', start + 1, bytes.length - 1),
  }
}

export function statusOf({ bytes }: Message): TransactionStatus {
  return bytes.toString('latin1', bytes.length - 1) as TransactionStatus
}

export function errorResponse(severity: 'ERROR' | 'FATAL', sqlState: string, text: string): Buffer {
  const fields = { S: severity, V: severity, C: sqlState, M: text }
  const body = Object.entries(fields).map(([name, value]) => `${name}${value}\0`)
  return message('E', `${body.join('')}\0`)
}

export function readyForQuery(status: TransactionStatus): Buffer {
  return message('Z', status)
}

export function simpleQuery(text: string): Buffer {
  return message('Q', `${text}\0`)
}

function message(type: string, body: string): Buffer {
  const content = Buffer.from(body)
  const head = Buffer.alloc(TYPE_BYTES + LENGTH_BYTES)
  head.write(type, 'latin1')
  head.writeInt32BE(content.length + LENGTH_BYTES, TYPE_BYTES)
  return Buffer.concat([head, content])
}
