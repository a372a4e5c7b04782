import type { KoaContextWithOIDC } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../audit/event.ts'
import type { EventType } from '../../audit/event-type.ts'
import { currentRequest } from '../engine/request-context.ts'
import type { Source } from '../engine/token-request.ts'

/** The audit event of a token request: client, person and address. Never a token. */
export function tokenEvent(type: EventType, ctx: KoaContextWithOIDC, source: Source): NewEvent {
  const about = {
    accountSub: source.account?.sub,
    clientId: ctx.oidc.client?.clientId,
    grantId: source.grant?.id,
    sessionUid: textOf(source.payload.sessionUid),
  }
  return newEvent(type, about, currentRequest().origin)
}

/** A detected reuse, and its revocation. */
type Reuse = Readonly<{ event: NewEvent; family: string | undefined; sessionUid: string | undefined }>

/**
 * The revocation after the reuse of a spent token (RFC 9700 §4.14.2): the tokens of its code, and the session of a
 * refresh token, because the client or an attacker holds a copy. A device's token has no session.
 */
export function describeReuse(ctx: KoaContextWithOIDC, source: Source): Reuse {
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
