import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { Context } from 'koa'

/** The engine's limit. It answers 400 to a longer form; the server answers 413 before. */
export const MAX_FORM_BYTES = 56 * 1024
export const FORM_TYPE = 'application/x-www-form-urlencoded'

/**
 * Lets the engine, which reads the body by itself, read this form: the request goes on as a stream of it. Written again
 * it may have become too long for the engine; then it goes on as one that was read before.
 */
export function replayForm(ctx: Context, form: URLSearchParams): void {
  const body = Buffer.from(form.toString())
  const { req } = ctx
  const headers: IncomingHttpHeaders = {
    ...req.headers,
    // Whatever charset it came in, it was decoded as UTF-8 (RFC 6749 appendix B).
    'content-type': FORM_TYPE,
    'content-length': String(body.length),
  }
  delete headers['transfer-encoding']
  const { method, url, socket, httpVersion } = req
  const source = body.length > MAX_FORM_BYTES ? { readable: false, body } : streamOf(body)
  const replayed = Object.assign(source, { headers, method, url, socket, httpVersion, originalUrl: req.url })
  // Koa's accessors read these four properties and the stream, nothing else of an IncomingMessage.
  ctx.req = replayed as unknown as Context['req']
  ctx.request.req = ctx.req
}

function streamOf(body: Buffer): Readable {
  return new Readable({
    read() {
      this.push(body)
      this.push(null)
    },
  })
}

/** The form of a POST, as it was read before anything else looked at the request. */
export function formOf(ctx: Context): URLSearchParams {
  return ctx.state.form instanceof URLSearchParams ? ctx.state.form : new URLSearchParams()
}
