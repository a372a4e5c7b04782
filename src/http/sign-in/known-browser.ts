import { randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import { z } from 'zod'
import { cookieNames } from '../../oidc/cookies.ts'
import { DAY_SECONDS } from '../../time.ts'
import type { Vault } from '../../vault.ts'

/** As long as browsers keep anything, and again from each sign-in. */
const KEPT_SECONDS = 400 * DAY_SECONDS
/** People who share a browser; who signed in with it longest ago is forgotten first. */
const MOST_PEOPLE = 5
const PURPOSE = 'known browser'

const knownBrowser = z.object({ id: z.uuid(), accountSubs: z.array(z.uuid()).max(MOST_PEOPLE) })

/** A browser, and who signed in with it before. */
export type KnownBrowser = z.infer<typeof knownBrowser>

export type KnownBrowsers = ReturnType<typeof createKnownBrowsers>

/**
 * Browsers know, sealed in a cookie, who signed in with them before. It signs nobody in: strangers who guess at a
 * password elsewhere do not keep its person out.
 *
 * @see https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 */
export function createKnownBrowsers({ issuer, vault }: { issuer: string; vault: Vault }) {
  const name = cookieNames(issuer).browser

  function find(ctx: Context): KnownBrowser | undefined {
    const value = ctx.cookies.get(name, { signed: false })
    if (!value) return undefined
    // Sealed under a key that is not ours any more: a browser like any other.
    const opened = vault.find(Buffer.from(value, 'base64url'), PURPOSE, [])
    return opened === undefined ? undefined : knownBrowser.parse(JSON.parse(opened))
  }

  return {
    find,

    /** Notes that somebody proved in this browser who they are. */
    note(ctx: Context, sub: string): void {
      const { id = randomUUID(), accountSubs = [] } = find(ctx) ?? {}
      const people = [sub, ...accountSubs.filter((other) => other !== sub)].slice(0, MOST_PEOPLE)
      const value = vault.seal(JSON.stringify({ id, accountSubs: people }), PURPOSE, []).toString('base64url')
      // Sealing authenticates it.
      const options = { httpOnly: true, sameSite: 'lax', signed: false, overwrite: true } as const
      ctx.cookies.set(name, value, { ...options, maxAge: KEPT_SECONDS * 1000 })
    },
  }
}
