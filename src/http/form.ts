import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { Context } from 'koa'
import getRawBody from 'raw-body'

/** The engine reads no more than this either; here it is 413 instead of 400. */
const MAX_FORM_BYTES = 56 * 1024

/** A request that is refused before anybody looks at what it asks for. */
export class BadRequestError extends Error {
  override name = 'BadRequestError'
  readonly status: number
  constructor(status: 400 | 403 | 405 | 413 | 414 | 415 | 431, message: string) {
    super(message)
    this.status = status
  }
}

/** Whether a request's body is a form. Anything else is left to whoever answers the path. */
export function isForm(ctx: Context): boolean {
  return (
    ctx.is('application/x-www-form-urlencoded') !== false &&
    ctx.is('application/x-www-form-urlencoded') !== null
  )
}

/**
 * Reads a form once, for whoever needs it.
 *
 * @throws {BadRequestError} 413 when it is too long, 415 when it is compressed, 400 when it is not UTF-8 or holds NUL
 *   bytes: Postgres stores no NUL, and nothing honest sends one.
 */
export async function readForm(ctx: Context): Promise<URLSearchParams> {
  if (ctx.get('content-encoding'))
    throw new BadRequestError(415, 'compressed request bodies are not accepted')
  const bytes = await getRawBody(ctx.req, {
    limit: MAX_FORM_BYTES,
    length: ctx.get('content-length') || null,
  }).catch((error: unknown) => {
    throw isTooLarge(error)
      ? new BadRequestError(413, 'the request body is too large')
      : new BadRequestError(400, 'the request body was cut off')
  })
  const text = decode(bytes)
  refuseNul(text)
  return new URLSearchParams(text)
}

/** @throws {BadRequestError} */
export function refuseNul(encoded: string): void {
  if (encoded.includes('\0') || encoded.includes('%00'))
    throw new BadRequestError(400, 'NUL bytes are not accepted')
}

/**
 * Lets the engine, which reads the body by itself, read this form: the request goes on as a stream of it.
 */
export function replayForm(ctx: Context, form: URLSearchParams): void {
  const body = Buffer.from(form.toString())
  const { req } = ctx
  const headers: IncomingHttpHeaders = {
    ...req.headers,
    // Whatever charset it came in, it was decoded as UTF-8 (RFC 6749 appendix B).
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(body.length),
  }
  delete headers['transfer-encoding']
  const { method, url, socket, httpVersion } = req
  const stream = new Readable({
    read() {
      this.push(body)
      this.push(null)
    },
  })
  const replayed = Object.assign(stream, {
    headers,
    method,
    url,
    socket,
    httpVersion,
    originalUrl: req.url,
  })
  // Koa's accessors read these four properties and the stream, nothing else of an IncomingMessage.
  ctx.req = replayed as unknown as Context['req']
  ctx.request.req = ctx.req
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new BadRequestError(400, 'the request body is not UTF-8')
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'type' in error && error.type === 'entity.too.large'
}
