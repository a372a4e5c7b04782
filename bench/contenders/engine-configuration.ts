import type { Middleware } from 'koa'
import type {
  Adapter,
  ClientMetadata,
  Configuration,
  FindAccount,
  Grant,
  KoaContextWithOIDC,
  Provider,
} from 'oidc-provider'
import { CALLBACK, type Person, RESOURCE, RESOURCE_SCOPE, type SigningAlg, type Target } from './contender.ts'

/** A storage for the engine. */
export type Storage = Readonly<{
  adapter: (model: string) => Adapter
  findAccount: FindAccount
  seed(people: readonly Person[], clients: readonly ClientMetadata[]): Promise<void>
}>

type Needs = Pick<Storage, 'adapter' | 'findAccount'> &
  Readonly<{ jwks: { keys: object[] }; alg: SigningAlg; cookieKey: string }>

const DAY_SECONDS = 24 * 60 * 60

/** Configures the engine like Sallyport: the same routes, features, lifetimes and algorithms. */
export function createEngineConfiguration(needs: Needs): Configuration {
  const { adapter, findAccount, jwks, alg, cookieKey } = needs
  return {
    adapter,
    findAccount,
    jwks: jwks as NonNullable<Configuration['jwks']>,
    routes: {
      authorization: '/authorize',
      token: '/token',
      userinfo: '/userinfo',
      introspection: '/introspect',
      revocation: '/revoke',
      pushed_authorization_request: '/par',
      code_verification: '/device',
      device_authorization: '/device/authorize',
      end_session: '/logout',
    },
    cookies: { keys: [cookieKey] },
    responseTypes: ['code'],
    scopes: ['openid', 'offline_access'],
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'updated_at'],
      email: ['email', 'email_verified'],
    },
    subjectTypes: ['public'],
    pkce: { required: () => true },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: grantEverything,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: {
      AccessToken: 900,
      AuthorizationCode: 60,
      ClientCredentials: 600,
      DeviceCode: 600,
      Grant: 30 * DAY_SECONDS + 3600,
      IdToken: 900,
      Interaction: 900,
      RefreshToken: 14 * DAY_SECONDS,
      Session: 1800,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      dPoP: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId,
      },
      revocation: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: async (_ctx, _client, oneOf) => oneOf,
        getResourceServerInfo: () => ({
          audience: RESOURCE,
          scope: RESOURCE_SCOPE,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg } },
        }),
      },
    },
  } as Configuration
}

export function clientMetadata({ clients }: Target, alg: SigningAlg): ClientMetadata[] {
  const clientsOfAllTypes: ClientMetadata[] = [
    {
      client_id: clients.web.id,
      ...secretOf(clients.web),
      redirect_uris: [CALLBACK],
      grant_types: ['authorization_code', 'refresh_token'],
    },
    {
      client_id: clients.service.id,
      ...secretOf(clients.service),
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
    },
    {
      client_id: clients.device.id,
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      redirect_uris: [],
      response_types: [],
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    },
  ]
  // The engine requires an algorithm with a key, also for a client that gets no ID token.
  return clientsOfAllTypes.map((client) => ({ ...client, id_token_signed_response_alg: alg }))
}

function secretOf({ secret }: { secret: string | undefined }): { client_secret?: string } {
  return secret === undefined ? {} : { client_secret: secret }
}

/** Signs in by `login_hint` alone: password verification is not part of this comparison. */
export function answerInteractions(engine: Provider): Middleware {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return await next()
    const { params } = await engine.interactionDetails(ctx.req, ctx.res)
    await engine.interactionFinished(ctx.req, ctx.res, { login: { accountId: String(params.login_hint) } })
    ctx.respond = false
  }
}

/** Grants the requested scopes once per session, as for a first-party client. */
async function grantEverything({ oidc }: KoaContextWithOIDC): Promise<Grant | undefined> {
  const { client, session, account, provider } = oidc
  if (!client || !session || !account) return undefined
  const grantId = session.grantIdFor(client.clientId)
  const existing = grantId ? await provider.Grant.find(grantId) : undefined
  if (existing) return existing
  const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId })
  grant.addOIDCScope([...oidc.requestParamScopes].join(' '))
  await grant.save()
  return grant
}
