import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { newEvent, type Origin } from '../audit/event.ts'
import { type AccountStore, loginKey } from '../store/account/account.ts'
import type { LinkUse, SelfServiceStore } from '../store/account/self-service.ts'
import {
  type LinkRequests,
  type MailLinks,
  type MailRequest,
  type OpenLink,
  randomSubject,
} from './mail-links.ts'

/** Within SMTP's length limit, and without line breaks (header injection). */
export const emailAddress = z.email().max(254)

/** Usernames that people choose themselves: ASCII, so no two look alike, and no `@`, so none is an address. */
export const chosenUsername = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$/)

/** A name without control characters, also without those that change the direction of text. */
export const displayName = z
  .string()
  .max(200)
  .regex(/^[^\p{Cc}\u202A-\u202E\u2066-\u2069]*$/u)

export type RegistrationLink = Extract<OpenLink, { purpose: 'registration' }>

type Needs = { accounts: AccountStore; selfService: SelfServiceStore; links: MailLinks }

export type Registration = ReturnType<typeof createRegistration>

/** Self-registration. The account exists only after its address is verified, and only the mail reveals an existing one. */
export function createRegistration({ accounts, selfService, links }: Needs) {
  return {
    /** Mails a link that creates the account, or a notice that one exists. Both take the same time. */
    async request(
      request: LinkRequests['registration'],
      { language, origin, isDropped }: MailRequest,
    ): Promise<void> {
      const known = (await accounts.findByLogin(request.email))?.account
      await links.send({
        purpose: 'registration',
        subject: known ? randomSubject() : loginKey(request.email),
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

    /** Whether no account has this name or address, in any spelling. */
    isFree: async (username: string): Promise<boolean> =>
      (await accounts.findByLogin(username)) === undefined,

    /** Creates the account with the verified address. Username, name and password may differ from the request. */
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
