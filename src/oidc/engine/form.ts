import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { Context } from 'koa'

/** The engine's limit. It answers 400 to a longer form; the server answers 413 before. */
export const MAX_FORM_BYTES = 56 * 1024
export const FORM_TYPE = 'application/x-www-form-urlencoded'

/**
 * Replaces the request's body by this form, as a stream that the engine reads. A form that became too long for the
 * engine's limit is passed as a parsed body.
 */
export function replayForm(ctx: Context, form: URLSearchParams): void {
  const body = Buffer.from(form.toString())
  const { req } = ctx
  const headers: IncomingHttpHeaders = {
    ...req.headers,
    // The form was decoded as UTF-8 (RFC 6749 appendix B).
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

/** The form of a POST, as the first middleware parsed it. */
export function formOf(ctx: Context): URLSearchParams {
  return ctx.state.form instanceof URLSearchParams ? ctx.state.form : new URLSearchParams()
}
