import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { newEvent, type Origin } from '../audit/event.ts'
import { type AccountStore, loginKey } from '../store/account/account.ts'
import type { LinkUse, SelfServiceStore } from '../store/account/self-service.ts'
import { type Asker, type MailLinks, nobody, type OpenLink } from './mail-links.ts'

/** As mail servers take it; nothing in it could begin another header. */
export const emailAddress = z.email().max(254)

/**
 * Usernames that people choose themselves: no two that look alike to anybody. They hold no `@`, so none is another's
 * address.
 */
export const chosenUsername = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$/)

/** A name as people write it, without what would turn the text around it. */
export const displayName = z
  .string()
  .max(200)
  .regex(/^[^\p{Cc}\u202A-\u202E\u2066-\u2069]*$/u)

export type RegistrationLink = Extract<OpenLink, { purpose: 'registration' }>

type Needs = { accounts: AccountStore; selfService: SelfServiceStore; links: MailLinks }

export type Registration = ReturnType<typeof createRegistration>

/**
 * Accounts that people make themselves. There is none before its address is proven, and whether there was one already
 * only the mail tells.
 */
export function createRegistration({ accounts, selfService, links }: Needs) {
  return {
    /** Mails a link that finishes the account, or says that there is one. Both take the same time. */
    async ask(
      request: {
        email: string
        username: string
        name: string | undefined
        passwordHash: string
        asker: Asker
      },
      { language, origin, isDropped }: { language: string; origin: Origin; isDropped: boolean },
    ): Promise<void> {
      const known = (await accounts.findByLogin(request.email))?.account
      await links.ask({
        purpose: 'registration',
        subject: known ? nobody() : loginKey(request.email),
        account: known,
        request,
        mailOf: (link) =>
          known
            ? {
                kind: 'account-exists',
                to: known.email ?? request.email,
                language,
                values: { username: known.username, link: '/account/sign-in' },
              }
            : { kind: 'registration', to: request.email, language, values: { link } },
        event: newEvent('account.registration_asked', { accountSub: known?.sub }, origin),
        isDropped,
      })
    },

    /** Whether no account has this name, in any spelling. */
    isFree: async (username: string): Promise<boolean> =>
      (await accounts.findByLogin(username)) === undefined,

    /** Makes the account. Of what was asked for only the address is certain: the rest may be chosen anew. */
    async confirm(
      { secretHash, request }: RegistrationLink,
      { username, name, passwordHash }: { username: string; name: string | undefined; passwordHash: string },
      origin: Origin,
    ): Promise<LinkUse> {
      const sub = randomUUID()
      const event = newEvent('account.created', { accountSub: sub, detail: { by: 'person' } }, origin)
      return await selfService.register(
        { secretHash, event },
        {
          sub,
          username,
          email: request.email,
          emailVerified: true,
          profile: name === undefined ? {} : { name },
          passwordHash,
        },
      )
    },
  }
}
