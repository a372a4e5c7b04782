/** The types of audit events and their meaning, as `sallyport events` and the documentation show them. */
export const EVENT_TYPES = {
  'sign_in.accepted': 'a person signed in',
  'sign_in.refused': 'a sign-in failed: wrong password, unknown name, or disabled account',
  'sign_in.throttled': 'a rate limit of sign-in was reached; the detail names it',
  'sign_in.locked':
    'anomaly: too many wrong passwords for one account; it accepts no password until the day is over',
  'requests.throttled': 'anomaly: a rate limit of one network or one client was reached; the detail names it',
  'session.created': 'a browser session began',
  'session.remembered': 'a remembered browser was signed in again without a page',
  'session.expired': 'a session reached its idle or absolute limit',
  'session.ended': 'a session was revoked; the detail says by whom and why',
  'session.used_after_end': 'anomaly: a session cookie was used after its session was revoked',
  'session.used_after_expiry': 'anomaly: a session cookie was used after its session expired',
  'session.second_browser': 'anomaly: a session was used from another browser',
  'session.second_network': 'anomaly: a session was used from two networks within a minute',
  'browser.remembered': 'a person chose to stay signed in with a browser',
  'browser.reused': 'anomaly: a replaced remember-me cookie was used again',
  'consent.given': 'a person granted scopes to a client',
  'consent.withdrawn': 'a person or an operator withdrew the consent for a client',
  'token.issued': 'a client redeemed a code for tokens',
  'token.rotated': 'a client refreshed its tokens',
  'token.revoked': 'a token was revoked: by its client, or with its device',
  'authorization_code.reused': 'anomaly: an authorization code was redeemed again',
  'authorization_code.burnt':
    'anomaly: an authorization code was deleted after too many attempts with a wrong proof',
  'device_code.reused': 'anomaly: a device code was redeemed again',
  'refresh_token.reused': 'anomaly: a rotated refresh token was used again',
  'device.approved': 'a person approved a device',
  'device.denied': 'a person denied a device',
  'device.codes_guessed':
    'anomaly: a limit of wrong user codes over all networks was reached; the detail names it',
  'account.created': 'an account was created',
  'account.registration_asked': 'a registration was requested; the address is not verified yet',
  'account.verification_asked': 'a person requested a mail to verify their address',
  'account.email_verified': 'a person verified their address',
  'account.email_change_asked': 'a person requested a change of address; the new one is not verified yet',
  'account.email_changed': 'a person changed and verified their address',
  'account.reset_asked': 'a password reset was requested; with the account, if the name has one',
  'account.password_reset': 'a person set a new password with a mailed link',
  'account.password_changed': 'a password was changed',
  'account.disabled': 'an account was disabled',
  'account.enabled': 'an account was enabled again',
  'account.deleted': 'an account was deleted',
  'client.created': 'a client was registered',
  'client.updated': 'a client’s registration was changed',
  'client.secret_rotated': 'a client got a new secret',
  'client.deleted': 'a client was deleted',
  'key.created': 'a signing key was created',
  'backchannel_logout.delivered': 'a client confirmed a back-channel logout',
  'mail.throttled': 'anomaly: a limit of mails over all networks was reached; the detail names it',
  'mail.given_up': 'a mail could not be sent in time',
  'backchannel_logout.given_up': 'a client did not confirm a back-channel logout in time',
} as const

export type EventType = keyof typeof EVENT_TYPES

/** The types of events that no honest client or person causes. */
export const ANOMALIES = (Object.keys(EVENT_TYPES) as EventType[]).filter((type) =>
  EVENT_TYPES[type].startsWith('anomaly: '),
)
