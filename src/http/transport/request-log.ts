import { randomUUID } from 'node:crypto'
import type { Middleware } from 'koa'
import type { Log } from '../../log.ts'
import type { Clock } from '../../time.ts'

/** Records each request's arrival, sets its id in the response, and logs one line when it ends. */
export function logRequests({ log, now }: { log: Log; now: Clock }): Middleware {
  return async (ctx, next) => {
    const startedAt = performance.now()
    const requestId = randomUUID()
    ctx.state.requestId = requestId
    ctx.state.arrivedAt = now()
    ctx.set('X-Request-Id', requestId)
    try {
      await next()
    } finally {
      log.info({
        event: 'request',
        request: requestId,
        method: ctx.method,
        path: maskPath(ctx.path),
        status: ctx.status,
        milliseconds: Math.round((performance.now() - startedAt) * 10) / 10,
        address: ctx.ip,
      })
    }
  }
}

/** Masks the last part of paths that end in a secret (interactions, mailed links). Query strings are never logged. */
function maskPath(path: string): string {
  return path
    .replace(/^(\/(?:interaction|authorize|device|account\/link))\/(?!authorize\/?$).+$/i, '$1/…')
    .slice(0, 200)
}
