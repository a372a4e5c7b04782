import { randomUUID } from 'node:crypto'
import { newEvent, type Origin } from '../audit/event.ts'
import { randomSecret, sha256, type Vault } from '../crypto/vault.ts'
import type { AccountAtEpoch } from '../store/account/access-epoch.ts'
import type { Account } from '../store/account/account.ts'
import type { RevocationCause, Revocations } from '../store/revocation/revocation.ts'
import type { RememberedBrowserStore } from '../store/session/remembered-browser.ts'

/** Tabs that open together send the same secret: within this time the second gets the successor that the first got. */
const GRACE_SECONDS = 10
const PURPOSE = 'remembered browser'
/** The identifier of the remembered browser, and a secret of 256 bits. */
const COOKIE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([\w-]{43})$/

export type RememberCookie = Readonly<{ value: string; expiresAt: Date }>

type Recognised =
  | { outcome: 'recognised'; account: Account; authenticatedAt: Date; cookie: RememberCookie }
  /** A replaced secret came back, so a copy exists: the browser is forgotten and its sessions are revoked. */
  | { outcome: 'reused' }
  | { outcome: 'unknown' }

type Needs = {
  rememberedBrowsers: RememberedBrowserStore
  revocations: Pick<Revocations, 'revoke' | 'revokeAllBrowsers'>
  vault: Vault
  /** 0 switches remember-me off. */
  rememberMeSeconds: number
}

/**
 * Remember-me: a browser has a secret that is replaced at every use (reuse detection). It starts a session again, and is no
 * new proof of identity: `auth_time` stays that of the password.
 */
export function createRememberMe({ rememberedBrowsers, revocations, vault, rememberMeSeconds }: Needs) {
  return {
    isOffered: rememberMeSeconds > 0,

    /**
     * Remembers a browser after a sign-in with a password.
     *
     * @param replaced the browser's previous identifier, for this account or another.
     * @returns undefined when the account's access epoch was raised since the proof.
     */
    async remember(
      { sub: accountSub, accessEpoch }: AccountAtEpoch,
      origin: Origin,
      replaced: string | undefined,
    ): Promise<RememberCookie | undefined> {
      const id = randomUUID()
      const secret = randomSecret()
      const secretHash = sha256(secret)
      const expiresAt = await rememberedBrowsers.insert(
        { id, accountSub, accessEpoch, secretHash, seconds: rememberMeSeconds, origin },
        { replaced, event: newEvent('browser.remembered', { accountSub }, origin) },
      )
      return expiresAt && { value: `${id}.${secret}`, expiresAt }
    },

    /** Finds the account of a remembered browser by its single-use cookie, and replaces the cookie. */
    async recognise(value: string, origin: Origin): Promise<Recognised> {
      const [, id, secret] = COOKIE.exec(value) ?? []
      if (id === undefined || secret === undefined) return { outcome: 'unknown' }
      const next = randomSecret()
      const successor = { hash: sha256(next), sealed: vault.seal(next, PURPOSE, [id]) }
      const presented = { id, secretHash: sha256(secret), successor, origin }
      const recognition = await rememberedBrowsers.recognise(presented, GRACE_SECONDS)
      switch (recognition.outcome) {
        case 'recognised': {
          const { account, authenticatedAt, expiresAt, sealedSecret } = recognition
          const current = vault.tryOpen(sealedSecret, PURPOSE, [id])
          if (current === undefined) return { outcome: 'unknown' }
          const cookie = { value: `${id}.${current}`, expiresAt }
          return { outcome: 'recognised', account, authenticatedAt, cookie }
        }
        case 'reused': {
          const { accountSub } = recognition
          const event = newEvent('browser.reused', { accountSub }, origin)
          const cause = { reason: 'browser_reused', by: 'server', origin } as const
          await revocations.revoke({ kind: 'browser', id, cause, event })
          return { outcome: 'reused' }
        }
        case 'unknown':
          return { outcome: 'unknown' }
      }
    },

    /** Whether a browser is remembered for this person. */
    async isOf(id: string, accountSub: string): Promise<boolean> {
      return (await rememberedBrowsers.listOf(accountSub)).some((browser) => browser.id === id)
    },

    /** Forgets a browser of any account; its sessions continue. */
    forget: (id: string): Promise<void> => rememberedBrowsers.delete(id),

    /** Forgets all browsers when remember-me was switched off: shared computers must not stay remembered. */
    async enforce(): Promise<void> {
      const cause: RevocationCause = { reason: 'remember_me_off', by: 'operator' }
      if (rememberMeSeconds === 0) await revocations.revokeAllBrowsers(cause)
    },
  }
}

/** The identifier in a cookie's value, without the secret. */
export function rememberedIdIn(value: string | undefined): string | undefined {
  return COOKIE.exec(value ?? '')?.[1]
}

export type RememberMe = ReturnType<typeof createRememberMe>
