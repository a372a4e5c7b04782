import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { Log } from '../../log.ts'

/** Events of our own on the engine: a request's tokens were stored; the answer to a refresh was repeated. */
export const TOKENS_COMMITTED = 'grant.committed'
export const ANSWER_REPEATED = 'grant.repeated'

const REQUEST_ERRORS = [
  'authorization.error',
  'grant.error',
  'device_authorization.error',
  'code_verification.error',
  'device_resume.error',
  'pushed_authorization_request.error',
  'introspection.error',
  'revocation.error',
  'userinfo.error',
  'end_session.error',
  'end_session_confirm.error',
  'end_session_success.error',
  'discovery.error',
  'jwks.error',
] as const

const REQUEST_SUCCESSES = [
  'authorization.accepted',
  'authorization.success',
  ANSWER_REPEATED,
  'device_authorization.success',
  'pushed_authorization_request.success',
  'interaction.started',
  'interaction.ended',
  'end_session.success',
] as const

/**
 * Writes one log line for each event of the engine: client, account, request id, and for errors the reason, which is
 * never on the wire. No line holds a token, a code or another secret.
 */
export function logEngineEvents(engine: Provider, log: Log): void {
  for (const event of REQUEST_SUCCESSES) {
    on(engine, event, (ctx) => log.info({ event, ...requestFields(ctx) }))
  }
  // The engine's own `grant.success` comes before the commit, which may still refuse.
  on(engine, TOKENS_COMMITTED, (ctx) => log.info({ event: 'grant.success', ...requestFields(ctx) }))
  for (const event of REQUEST_ERRORS) {
    on(engine, event, (ctx, error) => log.info({ event, ...requestFields(ctx), ...errorFields(error) }))
  }
  on(engine, 'server_error', (ctx, error) => {
    const fields = { event: 'server_error', ...requestFields(ctx) }
    // A database outage is expected and needs no stack.
    if (isServiceUnavailable(error)) log.warn({ ...fields, ...errorFields(error) })
    else log.error({ ...fields, error })
  })
  on(engine, 'grant.revoked', (ctx, grantId) =>
    log.warn({ event: 'grant.revoked', ...requestFields(ctx), grant: grantId }),
  )
}

/** The engine calls its listeners synchronously, so an error in one would break the request. */
function on(
  engine: Provider,
  event: string,
  listener: (ctx: KoaContextWithOIDC, ...rest: unknown[]) => void,
): void {
  // The engine's types do not list all of its events.
  const emitter: NodeJS.EventEmitter = engine
  emitter.on(event, listener)
}

function requestFields(ctx: KoaContextWithOIDC): Record<string, unknown> {
  return {
    request: ctx.state?.requestId,
    client: ctx.oidc?.client?.clientId,
    account: ctx.oidc?.account?.accountId ?? ctx.oidc?.session?.accountId,
    grant_type:
      typeof ctx.oidc?.params?.grant_type === 'string' ? ctx.oidc.params.grant_type.slice(0, 80) : undefined,
  }
}

function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return {}
  const {
    message,
    error_description: description,
    error_detail: detail,
  } = error as Error & Record<string, unknown>
  const cause = error.cause instanceof Error ? error.cause.message : undefined
  return { error: message, description, detail, cause }
}

function isServiceUnavailable(error: unknown): boolean {
  return error instanceof Error && 'statusCode' in error && error.statusCode === 503
}
