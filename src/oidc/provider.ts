import type { JWK } from 'jose'
import { type Client, type Configuration, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { EventStore } from '../audit/event.ts'
import type { Lifetimes } from '../config/config.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import type { Outbound } from '../outbound/client.ts'
import type { AccountStore } from '../store/account/account.ts'
import type { ClientStore } from '../store/client/client.ts'
import type { ResourceStore } from '../store/client/resource.ts'
import type { Ending } from '../store/revocation/revocation.ts'
import type { ConsentStore } from '../store/session/consent.ts'
import type { SessionStore } from '../store/session/session.ts'
import type { ArtifactStore } from '../store/token/artifact.ts'
import type { DeviceCodeStore } from '../store/token/device-code.ts'
import type { GrantStore } from '../store/token/grant.ts'
import type { TokenStore } from '../store/token/token.ts'
import type { Clock } from '../time.ts'
import { createAdapterFactory } from './adapter/factory.ts'
import { CLAIMS_BY_SCOPE, createFindAccount } from './claims.ts'
import { assertClientAssertion } from './client/client-assertion.ts'
import {
  EXTRA_CLIENT_METADATA,
  type ExtraClientMetadata,
  verifyClientSecret,
} from './client/client-metadata.ts'
import { createRegisteredScope } from './client/registered-scope.ts'
import { assertScopeAllowed, createResourceServerInfo, defaultResource } from './client/resource-servers.ts'
import { createLoadExistingGrant } from './consent.ts'
import { USER_CODE_MASK } from './device/user-code.ts'
import { createUserCodeRateLimit } from './device/user-code-rate-limit.ts'
import { ROUTES } from './engine/endpoints.ts'
import { logEngineEvents } from './engine/engine-log.ts'
import { withDatabaseTimes } from './engine/engine-time.ts'
import { withUnavailable } from './engine/unavailable.ts'
import { createEnginePages } from './engine-pages.ts'
import { createLifetimePolicy } from './lifetimes.ts'
import { cookieKeys, cookieNames } from './session/cookies.ts'
import { createInteractionPolicy } from './session/interaction-policy.ts'
import { createRefusal, type SessionLimits } from './session/session-limits.ts'
import { ACR_VALUES, authenticationClaims, narrowClaims } from './session/step-up.ts'
import type { RefreshReplay } from './token/refresh-replay.ts'
import { createRotationPolicy } from './token/rotation.ts'

const OUTBOUND_BODY_BYTES = 64 * 1024
const USER_AGENT_CHARACTERS = 200

type Needs = {
  issuer: string
  /** Both outlive the engine, which is replaced after each rotation of keys. */
  keys: { signing: { keys: JWK[] }; fetchOfClients: Outbound['fetch'] }
  vault: Vault
  policy: { lifetimes: Lifetimes; sessionLimits: SessionLimits }
  stores: {
    accounts: AccountStore
    clients: ClientStore
    resources: ResourceStore
    sessions: SessionStore
    consents: ConsentStore
    grants: GrantStore
    events: EventStore
    end: (ending: Ending) => Promise<void>
  }
  tokens: {
    tokens: TokenStore
    deviceCodes: DeviceCodeStore
    artifacts: ArtifactStore
    refreshReplay: RefreshReplay
  }
  /** What limits the guessing of user codes. */
  userCodes: Pick<Parameters<typeof createUserCodeRateLimit>[0], 'rateLimiter' | 'findDevices'>
  pages: Omit<Parameters<typeof createEnginePages>[0], 'findAccount'>
  log: Log
  now: Clock
}

/** The authorization server: oidc-provider, configured for code with PKCE, client credentials, device code and refresh alone. */
export function createEngine(needs: Needs): Provider {
  const { issuer, vault, log, now } = needs
  const engine = new Provider(issuer, createConfiguration(needs))
  engine.proxy = true // The host app rewrites the forwarding headers before the engine sees them.
  engine.Client.prototype.compareClientSecret = function (this: Client & ExtraClientMetadata, presented) {
    return verifyClientSecret(this, presented, now())
  }
  // The engine tells clients while the person waits, once; ours are told from an outbox.
  engine.Client.prototype.backchannelLogout = async () => {}
  engine.keys = cookieKeys(vault)
  logEngineEvents(engine, log)
  return engine
}

function createConfiguration(needs: Needs): Configuration {
  const { issuer, keys, vault, stores, userCodes, now } = needs
  const { lifetimes, sessionLimits } = needs.policy
  const { accounts, clients, resources, sessions, consents, grants, events, end } = stores
  const { tokens, deviceCodes, artifacts, refreshReplay } = needs.tokens
  const findAccount = createFindAccount(accounts, now)
  const { render, renderError, parseUserAgent, isLocal } = needs.pages
  const pages = createEnginePages({ render, renderError, parseUserAgent, isLocal, findAccount })
  return {
    adapter: createAdapterFactory({
      tokens,
      refreshReplay,
      deviceCodes,
      grants,
      sessions,
      artifacts,
      clients,
      end,
      userCodeRateLimit: createUserCodeRateLimit({
        rateLimiter: userCodes.rateLimiter,
        findDevices: userCodes.findDevices,
        accounts,
        events,
      }),
      registeredScope: createRegisteredScope({ clients, resources }),
      limits: sessionLimits,
      vault,
      now,
    }),
    jwks: keys.signing as NonNullable<Configuration['jwks']>,
    routes: ROUTES,
    cookies: {
      keys: cookieKeys(vault),
      names: cookieNames(issuer),
      long: { httpOnly: true, sameSite: 'lax', signed: true },
      short: { httpOnly: true, sameSite: 'lax', signed: true },
    },

    responseTypes: ['code'],
    scopes: ['openid', 'offline_access'],
    claims: { ...CLAIMS_BY_SCOPE, sid: null, iss: null },
    acrValues: [...ACR_VALUES],
    extraTokenClaims: (ctx, token) => (token.kind === 'AccessToken' ? authenticationClaims(ctx) : undefined),
    formats: {
      customizers: {
        jwt(_ctx, _token, jwt) {
          jwt.payload = withDatabaseTimes(jwt.payload)
        },
      },
    },
    subjectTypes: ['public'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: {
      clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'],
      dPoPSigningAlgValues: ['ES256', 'EdDSA', 'RS256', 'PS256'],
    },
    assertJwtClientAuthClaimsAndHeader: async (ctx, claims) => assertClientAssertion(ctx, claims),
    pkce: { required: (_ctx, client) => (client as Client & ExtraClientMetadata).require_pkce !== false },
    allowOmittingSingleRegisteredRedirectUri: false,
    acceptQueryParamAccessTokens: false,
    clientBasedCORS,
    extraClientMetadata: { properties: [...EXTRA_CLIENT_METADATA] },
    // The engine's place for checks of a parameter, which then covers authorization, device and pushed requests.
    extraParams: { scope: assertScopeAllowed },

    findAccount,
    loadExistingGrant: createLoadExistingGrant({
      consents,
      refuseWhenFull: createRefusal({ sessions, sessionLimits }),
    }),
    interactions: {
      policy: createInteractionPolicy(sessionLimits),
      url: (_ctx, interaction) => `/interaction/${interaction.uid}`,
    },
    ttl: createLifetimePolicy(lifetimes),
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: createRotationPolicy(lifetimes),
    // What a device was granted outlives the browser session of the phone that approved it.
    expiresWithSession: async (_ctx, source) =>
      source.kind !== 'DeviceCode' && !source.scopes.has('offline_access'),

    fetch: keys.fetchOfClients,
    fetchResponseBodyLimits: { jwks_uri: OUTBOUND_BODY_BYTES, sector_identifier_uri: OUTBOUND_BODY_BYTES },
    renderError: async (ctx, out, error) => pages.renderError(ctx, out, error),

    // What is not named here is off by default: request objects, registration, encryption, signed responses.
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: {
        enabled: true,
        charset: 'base-20',
        mask: USER_CODE_MASK,
        deviceInfo: (ctx) => ({
          agent: ctx.get('user-agent').slice(0, USER_AGENT_CHARACTERS),
          address: ctx.ip,
          isAddressUnknown: ctx.state.isAddressUnknown === true,
        }),
        userCodeInputSource: async (ctx, form, out, error) =>
          pages.userCodeInputSource(ctx, form, out, error),
        userCodeConfirmSource: async (ctx, form, client, deviceInfo, userCode) =>
          pages.userCodeConfirmSource(ctx, form, client, deviceInfo, userCode),
        successSource: async (ctx) => pages.deviceSuccessSource(ctx),
      },
      pushedAuthorizationRequests: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource,
        getResourceServerInfo: createResourceServerInfo(resources),
      },
      introspection: { enabled: true, allowedPolicy: createIntrospectionPolicy(resources) },
      revocation: {
        enabled: true,
        allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx) => pages.logoutSource(ctx),
        postLogoutSuccessSource: (ctx) => pages.postLogoutSuccessSource(ctx),
      },
      // For discovery, client metadata and `sid`; the telling itself is done by jobs/backchannel-logout.ts.
      backchannelLogout: { enabled: true },
      claimsParameter: {
        enabled: true,
        assertClaimsParameter: async (ctx, claims) => narrowClaims(ctx, claims),
      },
      userinfo: { enabled: true },
    },
  }
}

/** Browser code of public clients may call us from the exact origins it is registered at (RFC 9700 §2.6). */
function clientBasedCORS(_ctx: KoaContextWithOIDC, origin: string, client: Client): boolean {
  return (
    client.clientAuthMethod === 'none' &&
    (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null')
  )
}

/** A token's state is told to the client it was issued to, and to the API it is meant for (RFC 7662 §4). */
function createIntrospectionPolicy(resources: ResourceStore) {
  return withUnavailable(
    async (
      { oidc }: KoaContextWithOIDC,
      client: Client,
      token: { clientId?: string | undefined; aud?: string | string[] | undefined },
    ) => {
      if (client.clientAuthMethod === 'none') return false
      const isOwn = token.clientId === client.clientId
      const resource = typeof token.aud === 'string' ? await resources.find(token.aud) : undefined
      // A token for an API that was deleted is for nobody.
      if (token.aud !== undefined && !resource) return false
      if (isOwn) return true
      // A client that was disabled or deleted has no active tokens.
      if (!(await oidc.provider.Client.find(token.clientId ?? ''))) return false
      return resource?.introspectionClientIds.includes(client.clientId) ?? false
    },
  )
}
