/** What is recorded, and what each means: `sallyport events` lists them. */
export const EVENT_TYPES = {
  'sign_in.accepted': 'a person proved who they are',
  'sign_in.refused': 'somebody tried and failed to',
  'sign_in.throttled':
    'attempts to sign in came too fast, and were put off from here on; the detail names the limit',
  'sign_in.locked':
    'anomaly: a name was tried too often, and no password is good for it until the day is over',
  'requests.throttled':
    'anomaly: too many came from one network or for one client, and were refused from here on; the detail names the limit',
  'session.created': 'a browser was signed in',
  'session.remembered': 'a remembered browser was signed in again, without a page',
  'session.expired': 'a session reached its idle or absolute limit',
  'session.ended': 'a session was ended; the detail says by whom and why',
  'session.used_after_end': 'anomaly: a cookie was used after its session had been ended',
  'session.used_after_expiry': 'anomaly: a cookie was used after its session had expired',
  'session.second_browser': 'anomaly: a session was used from another browser',
  'session.second_network': 'anomaly: a session was used from two networks within a minute',
  'browser.remembered': 'a person had a browser remembered',
  'browser.reused': 'anomaly: a remember-me cookie that had been replaced was used again',
  'consent.given': 'a person let a client do something',
  'consent.withdrawn': 'a person ended what a client may do',
  'token.issued': 'a client got its first tokens for a person',
  'token.rotated': 'a client refreshed its tokens',
  'token.revoked': 'a client gave tokens back',
  'authorization_code.reused': 'anomaly: a code was redeemed again',
  'authorization_code.burnt': 'anomaly: a code was tried with the wrong proof too often, and ended',
  'device_code.reused': 'anomaly: a device code was redeemed again',
  'refresh_token.reused': 'anomaly: a refresh token that had been replaced was used again',
  'device.approved': 'a person connected a device',
  'device.denied': 'a person refused a device',
  'device.codes_guessed':
    'anomaly: so many wrong codes were entered that no device can be connected for a while',
  'account.created': 'a person was added',
  'account.registration_asked': 'somebody wants to register; the address is not proven yet',
  'account.verification_asked': 'a person had a link mailed that proves their address',
  'account.email_verified': 'a person proved that their address is theirs',
  'account.email_change_asked': 'a person wants another address; it is not proven yet',
  'account.email_changed': 'a person has another address, which they proved',
  'account.reset_asked': 'somebody forgot a password; the person it is about, if there is one',
  'account.password_reset': 'a person set a new password by a mailed link',
  'account.password_changed': 'a password was replaced',
  'account.disabled': 'a person was locked out',
  'account.enabled': 'a person was let in again',
  'account.deleted': 'a person was deleted',
  'client.created': 'a client was registered',
  'client.updated': 'a client’s registration was changed',
  'client.secret_rotated': 'a client got a new secret',
  'client.deleted': 'a client was deleted',
  'key.created': 'a signing key was made',
  'backchannel_logout.delivered': 'a client confirmed that it ended a session',
  'mail.throttled':
    'anomaly: so much mail was asked for that some of it is not sent for a while; the detail names the limit',
  'mail.given_up': 'a mail could not be sent in time',
  'backchannel_logout.given_up': 'a client did not confirm in time that it ended a session',
} as const

export type EventType = keyof typeof EVENT_TYPES

/** What should not happen when everybody is honest. */
export const ANOMALIES = (Object.keys(EVENT_TYPES) as EventType[]).filter((type) =>
  EVENT_TYPES[type].startsWith('anomaly: '),
)
