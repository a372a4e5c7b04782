import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { Log } from '../../log.ts'
import { AnsweredBefore } from './errors.ts'
import { currentUnit } from './request-context.ts'

/** Ours: a refresh whose answer was repeated. */
export const REPEATED = 'grant.repeated'

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
  REPEATED,
  'device_authorization.success',
  'pushed_authorization_request.success',
  'interaction.started',
  'interaction.ended',
  'end_session.success',
] as const

/**
 * One log line for each thing the engine says happened: who (client, account), where (request id), and for errors
 * the true reason, which is never on the wire. Tokens, codes and identifiers that grant something are never in it.
 */
export function logEngineEvents(engine: Provider, log: Log): void {
  for (const event of REQUEST_SUCCESSES) {
    on(engine, event, (ctx) => log.info({ event, ...requestFields(ctx) }))
  }
  on(engine, 'grant.success', (ctx) => {
    const tell = () => log.info({ event: 'grant.success', ...requestFields(ctx) })
    // The engine says so when it has made its answer; it is true when that is stored.
    currentUnit()?.tokenRequest?.whenCommitted.push(tell)
  })
  for (const event of REQUEST_ERRORS) {
    on(engine, event, (ctx, error) => {
      if (error instanceof AnsweredBefore) return
      log.info({ event, ...requestFields(ctx), ...errorFields(error) })
    })
  }
  on(engine, 'server_error', (ctx, error) => {
    const fields = { event: 'server_error', ...requestFields(ctx) }
    // Expected when the database is away; the stack of anything else is what a developer needs.
    if (isServiceUnavailable(error)) log.warn({ ...fields, ...errorFields(error) })
    else log.error({ ...fields, error })
  })
  on(engine, 'grant.revoked', (ctx, grantId) =>
    log.warn({ event: 'grant.revoked', ...requestFields(ctx), grant: grantId }),
  )
}

/** The engine's listeners are synchronous: one that throws would break the request, so none can. */
function on(
  engine: Provider,
  event: string,
  listener: (ctx: KoaContextWithOIDC, ...rest: unknown[]) => void,
): void {
  // Typed by name in the engine's types, which lag behind its events.
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
