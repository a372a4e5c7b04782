import { createRemoteJWKSet, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { printResult, type Terminal, toFields } from '../terminal.ts'

type Tokens = client.TokenEndpointResponse & client.TokenEndpointResponseHelpers

/** What a flow ended with, by the standard names. */
export type Report = Record<string, unknown> & { access_token: string }

/** Gathers what an app can learn from its tokens: verified claims, and userinfo where the token is for that. */
export async function examine(config: client.Configuration, tokens: Tokens): Promise<Report> {
  const { access_token, token_type, expires_in, scope, refresh_token, id_token } = tokens
  const id_token_claims = tokens.claims()
  const access_token_claims = await verifyJwt(config, access_token)
  const isForUserinfo = id_token_claims !== undefined && access_token_claims === undefined
  const userinfo = isForUserinfo
    ? await client.fetchUserInfo(config, access_token, id_token_claims.sub).catch(() => undefined)
    : undefined
  const report = {
    access_token,
    token_type,
    expires_in,
    scope,
    refresh_token,
    id_token,
    id_token_claims,
    access_token_claims,
    userinfo,
  }
  return {
    access_token,
    ...Object.fromEntries(Object.entries(report).filter(([, value]) => value !== undefined)),
  }
}

/** Prints tokens first, then a paragraph for each set of claims. */
export function printReport(terminal: Terminal, options: { json?: boolean }, report: Report): void {
  printResult(terminal, options, report, ({ id_token_claims, access_token_claims, userinfo, ...tokens }) => {
    const sections: [string, unknown][] = [
      ['Tokens', tokens],
      ['ID token says', id_token_claims],
      ['Access token says (its signature was checked)', access_token_claims],
      ['Userinfo says', userinfo],
    ]
    return sections
      .filter((section): section is [string, Record<string, unknown>] => section[1] !== undefined)
      .map(([title, fields]) => `\n${title}\n${indent(toFields(fields))}`)
      .join('\n')
  })
}

/** @returns undefined for an opaque token. */
async function verifyJwt(config: client.Configuration, token: string): Promise<JWTPayload | undefined> {
  try {
    decodeProtectedHeader(token)
  } catch {
    return undefined
  }
  const { jwks_uri, issuer } = config.serverMetadata()
  if (jwks_uri === undefined) return undefined
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), { issuer, typ: 'at+jwt' })
  return payload
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ')
}
