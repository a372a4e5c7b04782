import type { Client as EngineClient, ErrorOut, errors, FindAccount, KoaContextWithOIDC } from 'oidc-provider'
import { nearnessOf } from '../rate-limiting/network.ts'
import type { DeviceError, RenderErrorPage, RenderPage, UserAgentOnPage } from '../ui/view-models.ts'
import { describeClient } from './client/client-metadata.ts'
import { faultOf, USER_CODE_LETTERS } from './device/user-code.ts'
import { TooManyUserCodesError } from './device/user-code-rate-limit.ts'
import { fromEngineSeconds } from './engine/engine-time.ts'
import { SessionNotFound } from './engine/errors.ts'

const SHOWN_CHARACTERS = 32

type Needs = {
  render: RenderPage
  renderError: RenderErrorPage
  findAccount: FindAccount
  parseUserAgent: (userAgent: string) => UserAgentOnPage
  /** The server serves this machine only. */
  isLocal: boolean
}

/** The engine's own pages, rendered with the templates. */
export function createEnginePages({ render, renderError, findAccount, parseUserAgent, isLocal }: Needs) {
  return {
    renderError(ctx: KoaContextWithOIDC, out: ErrorOut, error: unknown): void {
      // The engine answers `invalid_request` for an expired page; this page says how to continue.
      const isExpired = error instanceof SessionNotFound
      // Another tab's page replaced this one, or signed out already.
      ctx.state.isExpired = isExpired || (ctx.oidc?.route === 'end_session_confirm' && ctx.status === 400)
      const failure = isExpired
        ? { code: 'session_not_found', detail: undefined }
        : { code: out.error, detail: out.error_description }
      renderError(ctx, { status: ctx.status, ...failure })
    },

    /** RFC 8628 §3.3: the person types the code that the device shows. */
    userCodeInputSource(
      ctx: KoaContextWithOIDC,
      _form: string,
      _out?: ErrorOut,
      error?: errors.OIDCProviderError | Error,
    ): void {
      if (error?.name === 'AbortedError') {
        render(ctx, 'device-denied', { by: isRefusedByPerson(ctx) ? 'person' : 'server' })
        return
      }
      if (error instanceof TooManyUserCodesError) ctx.set('Retry-After', String(error.retryAfterSeconds))
      // The engine answers 200 for an unknown code.
      if (error && ctx.status === 200) ctx.status = 400
      const userCode = enteredIn(ctx)
      render(ctx, 'device-code', {
        xsrf: xsrfOf(ctx),
        action: ctx.oidc.urlFor('code_verification'),
        userCode,
        error: error && deviceErrorOf(ctx, error),
        fault: faultOf(userCode),
        letters: USER_CODE_LETTERS,
        waitMinutes:
          error instanceof TooManyUserCodesError ? Math.ceil(error.retryAfterSeconds / 60) : undefined,
      })
    },

    /** RFC 8628 §5.4: the person compares the code and sees the client and the device before approving. */
    userCodeConfirmSource(
      ctx: KoaContextWithOIDC,
      _form: string,
      client: EngineClient,
      { agent, address, isAddressUnknown }: Record<string, unknown>,
      userCode: string,
    ): void {
      const from = String(address ?? '')
      const known = isAddressUnknown === true ? undefined : from
      const here = ctx.state.isAddressUnknown === true ? undefined : ctx.ip
      render(ctx, 'device-confirm', {
        xsrf: xsrfOf(ctx),
        action: ctx.oidc.urlFor('code_verification'),
        userCode,
        client: describeClient(client),
        device: {
          ...parseUserAgent(String(agent ?? '')),
          address: from,
          nearness: nearnessOf(known, here, { isLocal }),
          askedAt: fromEngineSeconds(ctx.oidc.entities.DeviceCode?.iat ?? 0),
        },
      })
    },

    deviceSuccessSource(ctx: KoaContextWithOIDC): void {
      render(ctx, 'device-done', { clientName: nameOf(ctx.oidc.client) })
    },

    async logoutSource(ctx: KoaContextWithOIDC): Promise<void> {
      const { postLogoutRedirectUri } = stateOf(ctx)
      const { accountId } = ctx.oidc.session ?? {}
      const account = accountId === undefined ? undefined : await findAccount(ctx, accountId)
      const claims = await account?.claims('userinfo', 'profile', {}, [])
      render(
        ctx,
        'logout',
        {
          xsrf: xsrfOf(ctx),
          action: ctx.oidc.urlFor('end_session_confirm'),
          request: ctx.querystring,
          clientName: nameOf(ctx.oidc.client),
          accountLabel:
            typeof claims?.preferred_username === 'string' ? claims.preferred_username : undefined,
        },
        [postLogoutRedirectUri, ctx.oidc.client?.clientUri],
      )
    },

    async postLogoutSuccessSource(ctx: KoaContextWithOIDC): Promise<void> {
      const { accountId } = await ctx.oidc.provider.Session.get(ctx)
      render(ctx, 'logout-done', { clientName: nameOf(ctx.oidc.client), signedOut: accountId === undefined })
    },
  }
}

export type EnginePages = ReturnType<typeof createEnginePages>

const DEVICE_ERRORS: Record<string, DeviceError> = {
  NotFoundError: 'not-found',
  ExpiredError: 'expired',
  AlreadyUsedError: 'used',
  // The page after the sign-in was answered before.
  SessionNotFound: 'used',
  NoCodeError: 'missing',
  TooManyUserCodesError: 'throttled',
  // The page expired, another one replaced it, or the database was unavailable.
  InvalidRequest: 'failed',
  TemporarilyUnavailable: 'failed',
}

function deviceErrorOf({ oidc, status }: KoaContextWithOIDC, { name }: Error): DeviceError {
  // The code existed before the sign-in page.
  if (oidc.route === 'device_resume' && name === 'NotFoundError') return 'expired'
  return DEVICE_ERRORS[name] ?? (status >= 500 ? 'failed' : 'refused')
}

function isRefusedByPerson({ oidc }: KoaContextWithOIDC): boolean {
  return Boolean(oidc.params?.abort) || oidc.entities.Interaction?.result?.error === 'access_denied'
}

function nameOf(client: EngineClient | undefined): string | undefined {
  return client && (client.clientName ?? client.clientId)
}

function stateOf(ctx: KoaContextWithOIDC): { secret?: string; postLogoutRedirectUri?: string } {
  return ctx.oidc.session?.state ?? {}
}

function xsrfOf(ctx: KoaContextWithOIDC): string {
  return stateOf(ctx).secret ?? ''
}

/** The entered code, or the one of `verification_uri_complete`, shortened to what fits. */
function enteredIn({ oidc, state }: KoaContextWithOIDC): string {
  const entered = oidc.params?.user_code ?? state.userCode
  return typeof entered === 'string' ? entered.slice(0, SHOWN_CHARACTERS) : ''
}
