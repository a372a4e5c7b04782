import { CALLBACK, type Target } from '../contenders/contender.ts'
import { createBrowser } from './browser.ts'
import { forwardedFor } from './client-address.ts'
import type { Request } from './closed-loop.ts'
import { authorizePath, codeOf, redeemCode } from './requests.ts'

export type SignedIn = Readonly<{
  /** An authorization request that is answered with a code at once (SSO). */
  authorize: Request
  accessToken: string
  refreshToken: string
}>

const SIGN_INS_AT_A_TIME = 4

/** Signs people in, each in a browser of their own, and redeems their codes. */
export async function signIn(target: Target, count: number): Promise<SignedIn[]> {
  const all: SignedIn[] = []
  while (all.length < count) {
    const batch = Math.min(SIGN_INS_AT_A_TIME, count - all.length)
    const first = all.length
    all.push(
      ...(await Promise.all(Array.from({ length: batch }, (_, index) => signInOne(target, first + index)))),
    )
  }
  return all
}

/** @param offline asks for a refresh token that outlives the session. */
export async function signInOne(target: Target, index: number, { offline = false } = {}): Promise<SignedIn> {
  const person = target.people[index]
  if (!person) throw new Error(`there is no person ${index}`)
  const from = forwardedFor(index)
  const browser = createBrowser(target.origin, from)
  const url = new URL(authorizePath(target, { username: person.username, offline }), target.origin)
  const end = await browser.signIn(url, person)
  const code = codeOf({ location: end.href })
  if (code === undefined || !end.href.startsWith(CALLBACK)) throw new Error(`no code in ${end.href}`)
  const { path, ...request } = redeemCode(target, code)
  const response = await fetch(new URL(path, target.origin), request)
  const tokens: { access_token?: string; refresh_token?: string } = JSON.parse(await response.text())
  if (!tokens.access_token || !tokens.refresh_token) throw new Error(`no tokens: ${JSON.stringify(tokens)}`)
  return {
    authorize: {
      method: 'GET',
      path: authorizePath(target, { username: person.username }),
      headers: { ...from, accept: 'text/html', cookie: browser.cookiesFor(url) },
    },
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token,
  }
}
