/*
 * Room rate-limiting/: all rate limits (this file), the rate limiter that counts them, the rate limits of sign-ins and
 * mails, the keyed queue, and networks. Requests are limited in http/transport/request-rate-limit.ts, user codes in
 * oidc/device/user-code-rate-limit.ts, and the counts are stored by store/attempt-counter.ts.
 */
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS } from '../time.ts'
import type { RateLimit } from './rate-limiter.ts'

/**
 * All rate limits. The limit of a network applies to an IPv4 address or a /64; `byNetworks` adds the wider IPv6
 * prefixes.
 */
export const LIMITS = {
  /** Wrong passwords for a name, over all networks (NIST SP 800-63B-4 §3.2.2). */
  signInByName: limit('sign_in.name', 100, DAY_SECONDS, { isDelayed: true, isAlwaysCounted: true }),
  /** The same for the account, which has a username and an e-mail address. */
  signInByAccount: limit('sign_in.account', 100, DAY_SECONDS, { isAlwaysCounted: true }),
  /**
   * Wrong passwords with one device cookie, so that a stolen cookie cannot use up the limit of the person's other
   * browsers.
   */
  signInByDeviceCookie: limit('sign_in.device_cookie', 30, DAY_SECONDS, { isDelayed: true }),
  /** Wrong passwords for an account over all its device cookies. */
  signInByKnownAccount: limit('sign_in.known_account', 100, DAY_SECONDS, { isAlwaysCounted: true }),
  /** Wrong passwords from one network for one name … */
  signInByPair: limit('sign_in.network_and_name', 10, MINUTE_SECONDS),
  /** … and for all names (password spraying). */
  signInByNetwork: limit('sign_in.network', 100, MINUTE_SECONDS),
  /** Password checks, successful ones included: each costs a hash, and each success issues a device cookie. */
  passwordsByNetwork: limit('sign_in.network_checks', 300, MINUTE_SECONDS),
  passwordsByAccount: limit('sign_in.account_checks', 120, 10 * MINUTE_SECONDS, { isAlwaysCounted: true }),

  /** Sign-in pages that were started and not finished: each is a row (OWASP ASVS 2.4.1). */
  authorizationByNetwork: limit('authorization.network', 300, MINUTE_SECONDS),
  /** Checks of a new password while a person types it. */
  passwordAdviceByNetwork: limit('password_advice.network', 300, MINUTE_SECONDS),
  /** New passwords: each is checked and hashed. From one network … */
  newPasswordByNetwork: limit('new_password.network', 60, 10 * MINUTE_SECONDS),
  /** … and with one mailed link, or for one account. */
  newPasswordByLink: limit('new_password.link', 20, HOUR_SECONDS),
  /** Pushed authorization requests: each is a row (RFC 9126 §7.1). */
  pushedRequestByNetwork: limit('pushed_request.network', 300, MINUTE_SECONDS),
  /** Device codes (RFC 8628 §5.1): each is a row, and one more code to guess. */
  deviceAuthorizationByNetwork: limit('device_authorization.network', 60, MINUTE_SECONDS),
  /** Sessions of signed-out browsers, which the device and sign-out pages start. */
  anonymousSessionByNetwork: limit('anonymous_session.network', 300, MINUTE_SECONDS),
  /** Wrong client secrets and assertions from one network … */
  clientAuthenticationByPair: limit('client_authentication.network_and_client', 20, MINUTE_SECONDS),
  /**
   * … and for one client from all networks. The right secret still works, so an attacker cannot lock the client out.
   */
  clientAuthenticationByClient: limit('client_authentication.client', 20, MINUTE_SECONDS),
  /** Invalid tokens and codes. */
  tokenByNetwork: limit('token.network', 120, MINUTE_SECONDS),

  /** Requested mails: from one network … */
  mailByNetwork: limit('mail.network', 20, HOUR_SECONDS),
  /** … to one address … */
  mailByAddress: limit('mail.address', 3, HOUR_SECONDS, { isAlwaysCounted: true }),
  /** … by one signed-in account … */
  mailByAccount: limit('mail.account', 10, HOUR_SECONDS),
  /**
   * … and in total: each mail is a row and costs the sender's reputation. Accounts, browsers with a device cookie, and
   * signed-in users have reserved shares that other requests cannot use up.
   */
  mailInTotal: limit('mail.everybody', 1_000, HOUR_SECONDS, { isShared: true, isAlwaysCounted: true }),
  mailByAccounts: limit('mail.accounts', 500, HOUR_SECONDS, { isShared: true, isAlwaysCounted: true }),
  mailByDevices: limit('mail.device_cookies', 250, HOUR_SECONDS, { isShared: true, isAlwaysCounted: true }),
  mailBySignedIn: limit('mail.signed_in', 250, HOUR_SECONDS, { isShared: true, isAlwaysCounted: true }),

  /** User codes that do not exist (RFC 8628 §5.1), in one browser … */
  userCodeByBrowser: limit('user_code.browser', 5, 10 * MINUTE_SECONDS),
  /** … from one network … */
  userCodeByNetwork: limit('user_code.network', 30, HOUR_SECONDS),
  /** … by one account, signed in or with a device cookie … */
  userCodeByAccount: limit('user_code.account', 20, HOUR_SECONDS),
  /**
   * … and in total: without an account, and in a reserved share by accounts that are signed in or have a device cookie.
   */
  userCodeInTotal: limit('user_code.everybody', 8_000, HOUR_SECONDS, { isShared: true }),
  userCodeByKnown: limit('user_code.known', 2_000, HOUR_SECONDS, { isShared: true }),
} as const satisfies Record<string, RateLimit>

function limit(
  name: string,
  most: number,
  windowSeconds: number,
  options: Pick<RateLimit, 'isDelayed' | 'isShared' | 'isAlwaysCounted'> = {},
): RateLimit {
  return { name, most, windowSeconds, ...options }
}
