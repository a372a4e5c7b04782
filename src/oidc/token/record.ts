import type { Context } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { type NewEvent, newEvent, newEventId, type Origin } from '../../audit/event.ts'
import type { EventType } from '../../audit/event-type.ts'
import type { TokenRequest } from '../engine/request-context.ts'

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

/** A detected reuse, and what it revokes. */
export type Reuse = Readonly<{ event: NewEvent; family: string | undefined; sessionUid: string | undefined }>

/**
 * The reuse that a request detected, if there is one: in a token request the engine revokes a grant for no other reason
 * (RFC 9700 §4.14.2). It revokes what came from the code, and the session that a refresh token belongs to, because the
 * client or an attacker holds a copy. A device's token has no session.
 */
export function reuseIn(
  ctx: KoaContextWithOIDC | undefined,
  request: TokenRequest | undefined,
): Reuse | undefined {
  const source = request?.source
  if (!ctx || !source) return undefined
  const event = tokenEvent(REUSE_EVENTS[source.kindName] ?? 'refresh_token.reused', ctx, source)
  const isRefresh = source.kindName === 'RefreshToken'
  const isDevice = textOf(source.payload.gty)?.startsWith('device_code')
  return {
    event,
    family: isRefresh ? source.family : source.consumedBy,
    sessionUid: isRefresh && !isDevice ? event.sessionUid : undefined,
  }
}

const REUSE_EVENTS: Partial<Record<Source['kindName'], EventType>> = {
  AuthorizationCode: 'authorization_code.reused',
  DeviceCode: 'device_code.reused',
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
