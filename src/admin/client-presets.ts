/** What kinds of client there are; each starts from its own preset. */
export const CLIENT_TYPES = ['web', 'spa', 'native', 'device', 'service'] as const

export type ClientType = (typeof CLIENT_TYPES)[number]

export const CODE = 'authorization_code'
const REFRESH = 'refresh_token'
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code'
export const SECRET_METHODS = ['client_secret_basic', 'client_secret_post'] as const
export const AUTH_METHODS = [...SECRET_METHODS, 'private_key_jwt', 'none'] as const

export type AuthMethod = (typeof AUTH_METHODS)[number]

/** What each type of client starts from. The first authentication method is the default. */
export const PRESETS = {
  web: {
    application_type: 'web',
    grant_types: [CODE, REFRESH],
    authMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  },
  spa: { application_type: 'web', grant_types: [CODE, REFRESH], authMethods: ['none'] },
  native: { application_type: 'native', grant_types: [CODE, REFRESH], authMethods: ['none'] },
  device: {
    application_type: 'native',
    grant_types: [DEVICE, REFRESH],
    authMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  },
  service: {
    application_type: 'web',
    grant_types: ['client_credentials'],
    authMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  },
} as const satisfies Record<
  ClientType,
  { application_type: 'web' | 'native'; grant_types: string[]; authMethods: AuthMethod[] }
>
