import { randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import { z } from 'zod'
import type { Vault } from '../../crypto/vault.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import type { DeviceCookieEntry } from '../../rate-limiting/sign-in-rate-limit.ts'
import type { AccountAtEpoch } from '../../store/account/access-epoch.ts'
import { type Clock, DAY_SECONDS, toEpochSeconds } from '../../time.ts'

/** Counted from each sign-in. Browsers limit cookies to 400 days. */
const LIFETIME_SECONDS = 180 * DAY_SECONDS
/** Accounts per browser. The least recent sign-in is dropped first. */
const MOST_ACCOUNTS = 5
const PURPOSE = 'device cookie'

const entries = z
  .array(
    z.object({
      sub: z.uuid(),
      accessEpoch: z.int(),
      /** Identifies the entry; each sign-in makes a new one. */
      id: z.uuid(),
      issuedAt: z.int(),
    }),
  )
  .max(MOST_ACCOUNTS)

type Entry = z.infer<typeof entries>[number]

export type DeviceCookies = ReturnType<typeof createDeviceCookies>

/**
 * The device cookie: a sealed list of the accounts that signed in with a browser, with time and access epoch. It is no
 * proof of identity. It exempts the browser from lock-outs that attackers cause, and a revocation of the account voids
 * it.
 *
 * @see https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 */
export function createDeviceCookies({ issuer, vault, now }: { issuer: string; vault: Vault; now: Clock }) {
  const cookie = createCookie(cookieNames(issuer).device, { isSigned: false })

  /** The unexpired entries, newest first. The caller compares their access epochs with the accounts. */
  function find(ctx: Context): readonly Entry[] {
    const value = cookie.read(ctx)
    const opened = value && vault.tryOpen(Buffer.from(value, 'base64url'), PURPOSE, [])
    if (!opened) return []
    const oldest = toEpochSeconds(now()) - LIFETIME_SECONDS
    return entries.parse(JSON.parse(opened)).filter(({ issuedAt }) => issuedAt > oldest)
  }

  return {
    find: (ctx: Context): readonly DeviceCookieEntry[] => find(ctx),

    /** Issues the cookie after a proof of identity in this browser, with the access epoch of that proof. */
    issue(ctx: Context, { sub, accessEpoch }: AccountAtEpoch): void {
      const entry: Entry = { sub, accessEpoch, id: randomUUID(), issuedAt: toEpochSeconds(now()) }
      const others = find(ctx).filter((other) => other.sub !== sub)
      const value = vault.seal(JSON.stringify([entry, ...others].slice(0, MOST_ACCOUNTS)), PURPOSE, [])
      cookie.set(ctx, value.toString('base64url'), { seconds: LIFETIME_SECONDS })
    },
  }
}
