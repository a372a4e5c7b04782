import { randomUUID } from 'node:crypto'
import { newEvent, type Origin } from '../audit/event.ts'
import { randomSecret, sha256, type Vault } from '../crypto/vault.ts'
import type { Account } from '../store/account/account.ts'
import type { RevocationCause, Revocations } from '../store/revocation/revocation.ts'
import type { RememberedBrowserStore } from '../store/session/remembered-browser.ts'

/** Two tabs that open at once bring the same secret: for this long the second is given what the first was given. */
const GRACE_SECONDS = 10
const PURPOSE = 'remembered browser'
/** An identifier, which selects, and 256 random bits. */
const COOKIE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([\w-]{43})$/

/** What the browser keeps, and until when. */
export type RememberCookie = Readonly<{ value: string; expiresAt: Date }>

export type Recognised =
  | { outcome: 'recognised'; account: Account; authenticatedAt: Date; cookie: RememberCookie }
  /** A value that had been replaced: somebody holds a copy, so the browser is forgotten and its sessions have ended. */
  | { outcome: 'reused' }
  | { outcome: 'unknown' }

type Needs = {
  rememberedBrowsers: RememberedBrowserStore
  revocations: Pick<Revocations, 'revoke' | 'revokeAllBrowsers'>
  vault: Vault
  /** How long a browser is remembered; 0: never. */
  rememberMeSeconds: number
}

/**
 * Remembered browsers: each has a secret that is replaced at every use. They sign a person in again, which is no proof
 * of who that is.
 */
export function createRememberMe({ rememberedBrowsers, revocations, vault, rememberMeSeconds }: Needs) {
  return {
    isOffered: rememberMeSeconds > 0,

    /**
     * Remembers a browser for a person who proved their identity.
     *
     * @param replaced the browser's previous identifier, for this account or another.
     * @returns undefined when the account's access epoch was raised since the proof.
     */
    async remember(
      { sub: accountSub, accessEpoch }: Pick<Account, 'sub' | 'accessEpoch'>,
      origin: Origin,
      replaced: string | undefined,
    ): Promise<RememberCookie | undefined> {
      const id = randomUUID()
      const secret = randomSecret()
      const { address, userAgent } = origin
      const expiresAt = await rememberedBrowsers.insert(
        {
          id,
          accountSub,
          accessEpoch,
          secretHash: sha256(secret),
          seconds: rememberMeSeconds,
          address,
          userAgent,
        },
        { replaced, event: newEvent('browser.remembered', { accountSub }, origin) },
      )
      return expiresAt && { value: `${id}.${secret}`, expiresAt }
    },

    /** Whose browser this is, by its cookie; the cookie is good once. */
    async recognise(value: string, origin: Origin): Promise<Recognised> {
      const [, id, secret] = COOKIE.exec(value) ?? []
      if (id === undefined || secret === undefined) return { outcome: 'unknown' }
      const next = randomSecret()
      const { address, userAgent } = origin
      const recognition = await rememberedBrowsers.recognise(
        {
          id,
          secretHash: sha256(secret),
          successor: { hash: sha256(next), sealed: vault.seal(next, PURPOSE, [id]) },
          address,
          userAgent,
        },
        GRACE_SECONDS,
      )
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

    /** Forgets a browser, for whomever it was remembered; sessions go on. */
    forget: (id: string): Promise<void> => rememberedBrowsers.delete(id),

    /** When remembering is switched off, what was remembered ends: on a shared computer nobody may be left behind. */
    async enforce(): Promise<void> {
      const cause: RevocationCause = { reason: 'remember_me_off', by: 'operator' }
      if (rememberMeSeconds === 0) await revocations.revokeAllBrowsers(cause)
    },
  }
}

/** The identifier in a cookie's value; no secret. */
export function rememberedIdIn(value: string | undefined): string | undefined {
  return COOKIE.exec(value ?? '')?.[1]
}

export type RememberMe = ReturnType<typeof createRememberMe>
