import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'

/** What came back over one connection, and what became of that. */
export type RawExchange = Readonly<{
  /** The answers, in order. */
  answers: readonly RawAnswer[]
  text: string
  /** From the first byte sent until the server hung up, or until it was waited for no longer. */
  milliseconds: number
  isClosed: boolean
}>

export type RawAnswer = Readonly<{ status: number; headers: Headers; body: string }>

type Options = {
  /** How long to wait for the server to hang up. */
  withinMilliseconds?: number
  /** Sends this many more, one after the other, with a pause before each. */
  drip?: { chunk: string; everyMilliseconds: number }
}

/**
 * Writes bytes as they are, for what no HTTP library sends: broken requests, half of one, two at once. Reads until the
 * server hangs up, or the time is over.
 */
export async function sendRaw(
  url: string,
  bytes: string | Buffer,
  { withinMilliseconds = 500, drip }: Options = {},
): Promise<RawExchange> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  const chunks: Buffer[] = []
  const startedAt = performance.now()
  socket.on('data', (chunk) => chunks.push(chunk))
  // The server may reset the connection of somebody who still writes.
  socket.on('error', () => {})
  const closed = new Promise<true>((done) => socket.once('close', () => done(true)))
  socket.write(bytes)
  const dripping = drip
    ? setInterval(() => socket.writable && socket.write(drip.chunk), drip.everyMilliseconds)
    : undefined
  const isClosed = await Promise.race([closed, pause(withinMilliseconds).then(() => false)])
  clearInterval(dripping)
  socket.destroy()
  const text = Buffer.concat(chunks).toString('latin1')
  return { answers: parseAnswers(text), text, milliseconds: performance.now() - startedAt, isClosed }
}

/** The head of a request with these headers, and `Host`. */
export function head(requestLine: string, headers: Record<string, string> = {}): string {
  const all = Object.entries({ Host: 'localhost', ...headers })
  return [requestLine, ...all.map((header) => header.join(': ')), '', ''].join('\r\n')
}

/** ASVS 3.4: what every answer carries, whoever gives it. */
export function expectSafeHeaders({ headers, status }: Pick<RawAnswer, 'headers' | 'status'>): void {
  const policy = headers.get('content-security-policy') ?? ''
  for (const directive of ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", 'form-action '])
    expect(policy, String(status)).toContain(directive)
  expect(Object.fromEntries(headers), String(status)).toMatchObject({
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': expect.stringContaining('camera=()'),
    'cache-control': expect.stringMatching(/^(no-store|public, max-age=\d+)$/),
  })
  for (const name of ['server', 'x-powered-by']) expect(headers.has(name)).toBe(false)
}

function parseAnswers(text: string): RawAnswer[] {
  const answers: RawAnswer[] = []
  for (let rest = text; rest.startsWith('HTTP/1.1 '); ) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) break
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n')
    const headers = new Headers(
      lines.map((line): [string, string] => [
        line.slice(0, line.indexOf(':')),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    )
    const length = Number(headers.get('content-length') ?? 0)
    const body = rest.slice(end + 4, end + 4 + length)
    answers.push({ status: Number(statusLine.split(' ')[1]), headers, body })
    rest = rest.slice(end + 4 + length)
  }
  return answers
}
