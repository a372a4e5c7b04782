import type { Context } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { type NewEvent, newEvent, newEventId, type Origin } from '../store/event.ts'
import type { EventType } from '../store/event-type.ts'
import type { TokenRequest } from './unit-of-work.ts'

const USER_AGENT_CHARACTERS = 200

type Source = NonNullable<TokenRequest['source']>

/** What a token request leaves in the record: who, for whom, from where. Never a token. */
export function tokenEvent(
  type: EventType,
  ctx: KoaContextWithOIDC,
  source: Source,
  id = newEventId(),
): NewEvent {
  const about = {
    id,
    accountSub: source.account?.sub,
    clientId: ctx.oidc.client?.clientId,
    grantId: source.grant?.id,
    sessionUid: textOf(source.payload.sessionUid),
  }
  return newEvent(type, about, originOf(ctx))
}

/** Where a request came from, for the record. */
export function originOf(ctx: Pick<Context, 'state' | 'ip' | 'get'>): Origin {
  return {
    requestId: textOf(ctx.state.requestId),
    address: ctx.ip,
    userAgent: ctx.get('user-agent').slice(0, USER_AGENT_CHARACTERS),
  }
}

/**
 * A token request ends a grant for one reason: what it presented had been spent before (RFC 9700 §4.14.2). Either
 * the client or somebody else holds a copy, so the session that it came from ends, too; a device's came from none.
 */
export function reuseOf(
  ctx: KoaContextWithOIDC | undefined,
  request: TokenRequest | undefined,
): { event?: NewEvent; sessionUid?: string | undefined } {
  const source = request?.source
  if (!ctx || !source) return {}
  const event = tokenEvent(REUSE_EVENTS[source.kindName] ?? 'refresh_token.reused', ctx, source)
  const isRefresh = source.kindName === 'RefreshToken'
  const isDevice = textOf(source.payload.gty)?.startsWith('device_code')
  return { event, sessionUid: isRefresh && !isDevice ? event.sessionUid : undefined }
}

const REUSE_EVENTS: Partial<Record<Source['kindName'], EventType>> = {
  AuthorizationCode: 'authorization_code.reused',
  DeviceCode: 'device_code.reused',
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
