import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'

/** The answers over one connection, and whether the server closed it. */
type RawExchange = Readonly<{
  /** The answers, in order. */
  answers: readonly RawAnswer[]
  text: string
  /** From the first byte sent until the server closed the connection, or until the time limit. */
  milliseconds: number
  isClosed: boolean
}>

export type RawAnswer = Readonly<{ status: number; headers: Headers; body: string }>

type Options = {
  /** How long to wait for the server to close the connection. */
  withinMilliseconds?: number
  /** Sends a chunk at each interval. */
  drip?: { chunk: string; everyMilliseconds: number }
}

/**
 * Sends bytes that no HTTP library would send: malformed, partial or pipelined requests. Reads until the server closes
 * the connection, or until the time limit.
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
  // The server may reset the connection while it is written to.
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

/** The head of a request with `Host` and the given headers. */
export function head(requestLine: string, headers: Record<string, string> = {}): string {
  const all = Object.entries({ Host: 'localhost', ...headers })
  return [requestLine, ...all.map((header) => header.join(': ')), '', ''].join('\r\n')
}

/** Expects the security headers of every answer (ASVS 3.4). */
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
