import type { Configuration } from 'oidc-provider'
import type { ResourceStore } from '../store/client/resource.ts'
import {
  createIntrospectionPolicy,
  createResourceServerInfo,
  defaultResource,
} from './client/resource-servers.ts'
import { USER_CODE_MASK } from './device/user-code.ts'
import { originOf } from './engine/request-context.ts'
import type { EnginePages } from './engine-pages.ts'
import { narrowClaims } from './session/step-up.ts'

type Features = NonNullable<Configuration['features']>

/** The engine's features. Those not listed are off: request objects, registration, encryption, signed responses. */
export function createFeatures(pages: EnginePages, resources: ResourceStore): Features {
  return {
    devInteractions: { enabled: false },
    ...grantFeatures(pages),
    ...tokenFeatures(resources),
    ...logoutFeatures(pages),
  }
}

function grantFeatures(pages: EnginePages) {
  return {
    clientCredentials: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    claimsParameter: {
      enabled: true,
      assertClaimsParameter: async (ctx, claims) => narrowClaims(ctx, claims),
    },
    deviceFlow: {
      enabled: true,
      charset: 'base-20',
      mask: USER_CODE_MASK,
      deviceInfo: (ctx) => ({
        agent: originOf(ctx).userAgent,
        address: ctx.ip,
        isAddressUnknown: ctx.state.isAddressUnknown === true,
      }),
      userCodeInputSource: async (ctx, form, out, error) => pages.userCodeInputSource(ctx, form, out, error),
      userCodeConfirmSource: async (ctx, form, client, deviceInfo, userCode) =>
        pages.userCodeConfirmSource(ctx, form, client, deviceInfo, userCode),
      successSource: async (ctx) => pages.deviceSuccessSource(ctx),
    },
  } satisfies Features
}

function tokenFeatures(resources: ResourceStore) {
  return {
    dPoP: { enabled: true },
    userinfo: { enabled: true },
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
  } satisfies Features
}

function logoutFeatures(pages: EnginePages) {
  return {
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx) => pages.logoutSource(ctx),
      postLogoutSuccessSource: (ctx) => pages.postLogoutSuccessSource(ctx),
    },
    // For discovery, client metadata and `sid`; outbox/backchannel-logout-delivery.ts notifies the clients.
    backchannelLogout: { enabled: true },
  } satisfies Features
}
