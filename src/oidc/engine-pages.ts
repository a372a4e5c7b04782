import type { Client as EngineClient, ErrorOut, errors, FindAccount, KoaContextWithOIDC } from 'oidc-provider'
import { SessionNotFound } from './errors.ts'
import { describeClient, type Pages, type RenderErrorPage, type RenderPage } from './pages.ts'

/** The engine's own pages, drawn with our templates. */
export function createEnginePages({
  render,
  renderError,
  findAccount,
}: {
  render: RenderPage
  renderError: RenderErrorPage
  findAccount: FindAccount
}) {
  return {
    renderError(ctx: KoaContextWithOIDC, out: ErrorOut, error: unknown): void {
      // The engine calls a page that was left open too long an invalid request; people can do something about it.
      const isExpired = error instanceof SessionNotFound
      // The page of another tab took this one's place, or signed out already.
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
        render(ctx, 'device-denied', {})
        return
      }
      const prefilled = typeof ctx.state.userCode === 'string' ? ctx.state.userCode : ''
      render(ctx, 'device-code', {
        xsrf: xsrfOf(ctx),
        action: ctx.oidc.urlFor('code_verification'),
        userCode: userCodeOf(error) ?? prefilled,
        error: error && (DEVICE_ERRORS[error.name] ?? 'failed'),
      })
    },

    /** RFC 8628 §5.4: the person compares the code and sees who asks before anything is approved. */
    userCodeConfirmSource(
      ctx: KoaContextWithOIDC,
      _form: string,
      client: EngineClient,
      deviceInfo: Record<string, unknown>,
      userCode: string,
    ): void {
      render(ctx, 'device-confirm', {
        xsrf: xsrfOf(ctx),
        action: ctx.oidc.urlFor('code_verification'),
        userCode,
        client: describeClient(client),
        device: { agent: String(deviceInfo.agent ?? ''), address: String(deviceInfo.address ?? '') },
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

const DEVICE_ERRORS: Record<string, Pages['device-code']['error']> = {
  NotFoundError: 'not-found',
  ExpiredError: 'expired',
  AlreadyUsedError: 'used',
  NoCodeError: 'missing',
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

function userCodeOf(error: unknown): string | undefined {
  return error instanceof Error && 'userCode' in error && typeof error.userCode === 'string'
    ? error.userCode
    : undefined
}
