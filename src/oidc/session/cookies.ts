import type { Context } from 'koa'
import type { Vault } from '../../crypto/vault.ts'

const PURPOSE = 'cookie signature'

/** Scripts cannot read cookies, and other sites send them along with top-level navigation only (OWASP ASVS 3.3). */
const ATTRIBUTES = { httpOnly: true, sameSite: 'lax' } as const
export const SIGNED_COOKIE = { ...ATTRIBUTES, signed: true } as const

export type Cookie = ReturnType<typeof createCookie>

/**
 * Reads and sets one cookie.
 *
 * @param options.isSigned false for values that authenticate themselves: sealed ones, and secrets of 256 random bits.
 * @param options.overwrite false to set several cookies of this name in one response, on different paths.
 */
export function createCookie(
  name: string,
  { isSigned, path = '/', overwrite = true }: { isSigned: boolean; path?: string; overwrite?: boolean },
) {
  const options = { ...ATTRIBUTES, signed: isSigned, path, overwrite }
  return {
    /** @returns undefined when the request has no such cookie, or its signature is wrong. */
    read: (ctx: Context): string | undefined => ctx.cookies.get(name, { signed: isSigned }),
    isSent: (ctx: Context): boolean => Boolean(ctx.cookies.get(name, { signed: false })),
    set(ctx: Context, value: string, lifetime: { seconds: number } | { until: Date }): void {
      const expiry = 'seconds' in lifetime ? { maxAge: lifetime.seconds * 1000 } : { expires: lifetime.until }
      ctx.cookies.set(name, value, { ...options, ...expiry })
    },
    clear(ctx: Context): void {
      ctx.cookies.set(name, null, options)
    },
  }
}

/** Keys that sign cookies, newest first; the host app sets cookies for the engine and must use the same. */
export function cookieKeys(vault: Vault): string[] {
  return vault.deriveKeys(PURPOSE).map((key) => key.toString('base64url'))
}

/** Over https the prefixes make browsers enforce the attributes; `__Host-` requires the path `/`. */
export function cookieNames(issuer: string) {
  const isSecure = issuer.startsWith('https:')
  const [host, secure] = isSecure ? ['__Host-', '__Secure-'] : ['', '']
  return {
    session: `${host}sallyport_session`,
    /** Signs a remembered browser in again. */
    remember: `${host}sallyport_remember`,
    /** The device cookie: accounts that signed in with this browser. It exempts the browser from lock-outs by others. */
    device: `${host}sallyport_browser`,
    /** Notes that this browser was signed in, so that a page can say that the session ended. */
    notice: `${host}sallyport_notice`,
    /**
     * Binds forms of people who are not signed in (CSRF), and recognises the browser that requested a mailed link: only
     * there the password counts that was chosen with the request.
     */
    formBinding: `${host}sallyport_asking`,
    /** Binds the account page's own sign-in form to the browser. */
    signIn: `${secure}sallyport_sign_in`,
    /** The mailed link that this browser opened. */
    link: `${secure}sallyport_link`,
    interaction: `${secure}sallyport_interaction`,
    resume: `${secure}sallyport_resume`,
    /** The authorization request behind an interaction, sealed, to start it again. */
    restart: `${secure}sallyport_restart`,
  }
}
