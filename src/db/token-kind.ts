/** The kinds of token in the table, by the engine's model names. The numbers are stored: never reuse one. */
export const TOKEN_KINDS = {
  AccessToken: 1,
  AuthorizationCode: 2,
  RefreshToken: 3,
  ClientCredentials: 4,
  DeviceCode: 5,
} as const

export type TokenKind = keyof typeof TOKEN_KINDS

/** The kinds of row in `oidc_artifact`, which live for minutes. The numbers are stored: never reuse one. */
export const ARTIFACT_KINDS = { interaction: 1, pushedRequest: 2, usedIdentifier: 3 } as const
