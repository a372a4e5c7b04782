/**
 * Room oidc/: the engine, oidc-provider, and its configuration (this file). Beside it: claims, consent, lifetimes, the
 * engine's pages and the signing keys. Its sub-rooms hold storage, tokens, sessions, devices and clients.
 */
import type { JWK } from 'jose'
import {
  type AdapterFactory,
  type Client,
  type Configuration,
  type KoaContextWithOIDC,
  Provider,
} from 'oidc-provider'
import type { Lifetimes } from '../config/config.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import type { Outbound } from '../outbound/client.ts'
import type { Stores } from '../store/stores.ts'
import type { Clock } from '../time.ts'
import { CLAIMS_BY_SCOPE, createFindAccount } from './claims.ts'
import { assertClientAssertion } from './client/client-assertion.ts'
import {
  EXTRA_CLIENT_METADATA,
  type ExtraClientMetadata,
  verifyClientSecret,
} from './client/client-metadata.ts'
import { assertScopeAllowed } from './client/resource-servers.ts'
import { createLoadExistingGrant } from './consent.ts'
import { ROUTES } from './engine/endpoints.ts'
import { logEngineEvents } from './engine/engine-log.ts'
import { withDatabaseTimes } from './engine/engine-time.ts'
import { createEnginePages } from './engine-pages.ts'
import { createFeatures } from './features.ts'
import { createLifetimePolicy, createRotationPolicy } from './lifetimes.ts'
import { cookieKeys, cookieNames, SIGNED_COOKIE } from './session/cookies.ts'
import { createInteractionPolicy } from './session/interaction-policy.ts'
import { createSessionLimitCheck, type SessionLimits } from './session/session-limits.ts'
import { ACR_VALUES, authenticationClaims } from './session/step-up.ts'

const OUTBOUND_BODY_BYTES = 64 * 1024

type Needs = {
  issuer: string
  /** An engine is replaced at each rotation of the signing keys; the fetch is shared by all. */
  keys: { signing: { keys: JWK[] }; fetchOfClients: Outbound['fetch'] }
  vault: Vault
  adapter: AdapterFactory
  policy: { lifetimes: Lifetimes; sessionLimits: SessionLimits }
  stores: Pick<Stores, 'accounts' | 'resources' | 'consents' | 'sessions'>
  pages: Omit<Parameters<typeof createEnginePages>[0], 'findAccount'>
  log: Log
  now: Clock
}

/** The authorization server: oidc-provider, configured for code with PKCE, client credentials, device code and refresh. */
export function createEngine(needs: Needs): Provider {
  const { issuer, vault, log, now } = needs
  const engine = new Provider(issuer, createConfiguration(needs))
  engine.proxy = true // The host app rewrites the forwarding headers before the engine sees them.
  engine.Client.prototype.compareClientSecret = function (this: Client & ExtraClientMetadata, presented) {
    return verifyClientSecret(this, presented, now())
  }
  // The engine would notify clients once, while the person waits; the outbox does it instead.
  engine.Client.prototype.backchannelLogout = async () => {}
  engine.keys = cookieKeys(vault)
  logEngineEvents(engine, log)
  return engine
}

function createConfiguration(needs: Needs): Configuration {
  const { issuer, vault, adapter, keys, stores, policy, now } = needs
  const findAccount = createFindAccount(stores.accounts, now)
  const { render, renderError, parseUserAgent, isLocal } = needs.pages
  const pages = createEnginePages({ render, renderError, parseUserAgent, isLocal, findAccount })
  return {
    adapter,
    jwks: keys.signing as NonNullable<Configuration['jwks']>,
    routes: ROUTES,
    findAccount,
    renderError: async (ctx, out, error) => pages.renderError(ctx, out, error),
    fetch: keys.fetchOfClients,
    fetchResponseBodyLimits: { jwks_uri: OUTBOUND_BODY_BYTES, sector_identifier_uri: OUTBOUND_BODY_BYTES },
    cookies: {
      keys: cookieKeys(vault),
      names: cookieNames(issuer),
      long: SIGNED_COOKIE,
      short: SIGNED_COOKIE,
    },
    ...requestRules(),
    ...clientRules(),
    claims: { ...CLAIMS_BY_SCOPE, sid: null, iss: null },
    acrValues: [...ACR_VALUES],
    subjectTypes: ['public'],
    ...grantsAndInteractions(needs),
    ...tokens(policy.lifetimes),
    features: createFeatures(pages, stores.resources),
  }
}

function requestRules(): Configuration {
  return {
    responseTypes: ['code'],
    scopes: ['openid', 'offline_access'],
    pkce: { required: (_ctx, client) => (client as Client & ExtraClientMetadata).require_pkce !== false },
    allowOmittingSingleRegisteredRedirectUri: false,
    acceptQueryParamAccessTokens: false,
    // The engine's place for checks of a parameter, which then covers authorization, device and pushed requests.
    extraParams: { scope: assertScopeAllowed },
  }
}

function clientRules(): Configuration {
  return {
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: {
      clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'],
      dPoPSigningAlgValues: ['ES256', 'EdDSA', 'RS256', 'PS256'],
    },
    assertJwtClientAuthClaimsAndHeader: async (ctx, claims) => assertClientAssertion(ctx, claims),
    clientBasedCORS,
    extraClientMetadata: { properties: [...EXTRA_CLIENT_METADATA] },
  }
}

function grantsAndInteractions({ stores, policy: { sessionLimits } }: Needs): Configuration {
  return {
    loadExistingGrant: createLoadExistingGrant({
      consents: stores.consents,
      checkSessionLimit: createSessionLimitCheck({ sessions: stores.sessions, sessionLimits }),
    }),
    interactions: {
      policy: createInteractionPolicy(sessionLimits),
      url: (_ctx, interaction) => `/interaction/${interaction.uid}`,
    },
  }
}

function tokens(lifetimes: Lifetimes): Configuration {
  return {
    ttl: createLifetimePolicy(lifetimes),
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: createRotationPolicy(lifetimes),
    // The tokens of a device outlive the browser session that approved it.
    expiresWithSession: async (_ctx, source) =>
      source.kind !== 'DeviceCode' && !source.scopes.has('offline_access'),
    extraTokenClaims: (ctx, token) => (token.kind === 'AccessToken' ? authenticationClaims(ctx) : undefined),
    formats: {
      customizers: {
        jwt(_ctx, _token, jwt) {
          jwt.payload = withDatabaseTimes(jwt.payload)
        },
      },
    },
  }
}

/** Allows browser code of public clients to call from the origins of their redirect URIs (RFC 9700 §2.6). */
function clientBasedCORS(_ctx: KoaContextWithOIDC, origin: string, client: Client): boolean {
  return (
    client.clientAuthMethod === 'none' &&
    (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null')
  )
}
