import type { Context, Middleware } from 'koa'
import { isRetryable } from '../db/database-error.ts'
import type { Log } from '../log.ts'
import { OIDCProviderError, SessionNotFound } from '../oidc/engine/errors.ts'
import type { RenderErrorPage } from '../ui/view-models.ts'
import { BadRequestError } from './transport/input-limits.ts'
import { TooManyRequestsError } from './transport/request-rate-limit.ts'

const RETRY_AFTER_SECONDS = 2

/**
 * Answers errors of handlers and unknown paths: with a page for people, with JSON for programs. The cause goes to the
 * log, never into the answer (OWASP ASVS 16.5.1).
 */
export function answerErrors({ renderError, log }: { renderError: RenderErrorPage; log: Log }): Middleware {
  return async (ctx, next) => {
    try {
      await next()
      if (ctx.status === 404 && ctx.body == null)
        answer(ctx, { status: 404, code: 'not_found', detail: undefined })
    } catch (error) {
      const failure = toFailure(error)
      if (failure.status >= 500) log.error({ event: 'request.failed', request: ctx.state.requestId, error })
      else
        log.info({
          event: 'request.refused',
          request: ctx.state.requestId,
          reason: failure.detail,
          code: failure.code,
        })
      answer(ctx, failure)
      if (error instanceof TooManyRequestsError) ctx.set('Retry-After', String(error.retryAfterSeconds))
    }
    // Also for answers of the engine: a client retries when the database is back.
    if (ctx.status === 503 && !ctx.res.hasHeader('Retry-After'))
      ctx.set('Retry-After', String(RETRY_AFTER_SECONDS))
  }

  function answer(ctx: Context, failure: Failure): void {
    if (ctx.accepts('json', 'html') === 'html' && tryRenderPage(ctx, failure)) return
    ctx.status = failure.status
    ctx.body = {
      error: failure.code,
      ...(failure.detail === undefined ? {} : { error_description: failure.detail }),
    }
  }

  /** An operator's own template of the error page may fail itself. */
  function tryRenderPage(ctx: Context, failure: Failure): boolean {
    try {
      renderError(ctx, failure)
      return true
    } catch (error) {
      log.error({ event: 'page.failed', request: ctx.state.requestId, error })
      return false
    }
  }
}

type Failure = { status: number; code: string; detail: string | undefined }

function toFailure(error: unknown): Failure {
  if (error instanceof BadRequestError)
    return { status: error.status, code: 'invalid_request', detail: error.message }
  if (error instanceof TooManyRequestsError)
    return { status: 429, code: 'too_many_requests', detail: 'come again later' }
  if (error instanceof SessionNotFound) return { status: 400, code: 'session_not_found', detail: undefined }
  if (error instanceof OIDCProviderError && error.expose) {
    return { status: error.statusCode, code: error.error, detail: error.error_description }
  }
  if (isRetryable(error)) return { status: 503, code: 'temporarily_unavailable', detail: undefined }
  return { status: 500, code: 'server_error', detail: undefined }
}
