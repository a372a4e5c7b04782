import { randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import { z } from 'zod'
import type { DeviceCookieEntry } from '../../accounts/device-cookie.ts'
import { cookieNames } from '../../oidc/cookies.ts'
import type { Account } from '../../store/account.ts'
import { type Clock, DAY_SECONDS, toEpochSeconds } from '../../time.ts'
import type { Vault } from '../../vault.ts'

/** From each sign-in on. Browsers keep nothing longer than 400 days, whatever a cookie says. */
const LIFETIME_SECONDS = 180 * DAY_SECONDS
/** Accounts that share a browser; the one that signed in longest ago is forgotten first. */
const MOST_ACCOUNTS = 5
const PURPOSE = 'device cookie'

const entries = z
  .array(
    z.object({
      sub: z.uuid(),
      accessEpoch: z.int(),
      /** Of this entry: each sign-in makes another. */
      id: z.uuid(),
      issuedAt: z.int(),
    }),
  )
  .max(MOST_ACCOUNTS)

type Entry = z.infer<typeof entries>[number]

export type DeviceCookies = ReturnType<typeof createDeviceCookies>

/**
 * The device cookie: says, sealed, which accounts signed in with a browser before, when, and under which access epoch. It
 * signs nobody in. It lets a person in whose account strangers guess at elsewhere, and a revocation of the person ends it.
 *
 * @see https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 */
export function createDeviceCookies({ issuer, vault, now }: { issuer: string; vault: Vault; now: Clock }) {
  const name = cookieNames(issuer).device

  /** The entries that are not too old, newest first. Whether their epochs are still those of the accounts is not known here. */
  function find(ctx: Context): readonly Entry[] {
    const value = ctx.cookies.get(name, { signed: false })
    const opened = value && vault.find(Buffer.from(value, 'base64url'), PURPOSE, [])
    if (!opened) return []
    const oldest = toEpochSeconds(now()) - LIFETIME_SECONDS
    return entries.parse(JSON.parse(opened)).filter(({ issuedAt }) => issuedAt > oldest)
  }

  return {
    find: (ctx: Context): readonly DeviceCookieEntry[] => find(ctx),

    /** Issues the cookie of a person who proved their identity in this browser, under the epoch of that proof. */
    issue(ctx: Context, { sub, accessEpoch }: Pick<Account, 'sub' | 'accessEpoch'>): void {
      const entry: Entry = { sub, accessEpoch, id: randomUUID(), issuedAt: toEpochSeconds(now()) }
      const others = find(ctx).filter((other) => other.sub !== sub)
      const value = vault.seal(JSON.stringify([entry, ...others].slice(0, MOST_ACCOUNTS)), PURPOSE, [])
      // Sealing authenticates it.
      const options = { httpOnly: true, sameSite: 'lax', signed: false, overwrite: true } as const
      ctx.cookies.set(name, value.toString('base64url'), { ...options, maxAge: LIFETIME_SECONDS * 1000 })
    },
  }
}
