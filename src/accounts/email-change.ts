import { newEvent, type Origin } from '../audit/event.ts'
import type { Account, AccountStore } from '../store/account/account.ts'
import type { LinkUse, SelfServiceStore } from '../store/account/self-service.ts'
import type { MailLinks, OpenLink } from './mail-links.ts'

export type EmailLink = Extract<OpenLink, { purpose: 'verification' | 'email_change' }>

type Needs = { accounts: AccountStore; selfService: SelfServiceStore; links: MailLinks }
type About = { language: string; origin: Origin }
/** `isDropped`: a limit was reached. The mail is not sent, and the answer is the same as for a sent one. */
type Ask = About & { isDropped: boolean }

export type EmailChange = ReturnType<typeof createEmailChange>

/** Addresses of people: proven by a link to them, and changed by one to the new one. */
export function createEmailChange({ accounts, selfService, links }: Needs) {
  return {
    /** Mails a link that proves the address a person has. */
    async askToVerify(account: Account, to: string, { language, origin, isDropped }: Ask): Promise<void> {
      const { sub, username } = account
      await links.ask({
        purpose: 'verification',
        subject: sub,
        account,
        request: { email: to },
        mailOf: (link) => ({ kind: 'verification', to, language, values: { username, link } }),
        event: newEvent('account.verification_asked', { accountSub: sub }, origin),
        isDropped,
      })
    },

    /** Mails a link to the new address, and tells the old one. Whether the new one is somebody's only its mail tells. */
    async ask(account: Account, to: string, { language, origin, isDropped }: Ask): Promise<void> {
      const { sub, username, email } = account
      const owner = (await accounts.findByLogin(to))?.account
      const isTaken = owner !== undefined && owner.sub !== sub
      const values = { username, email: to }
      await links.ask({
        purpose: 'email_change',
        subject: sub,
        account,
        request: { email: to },
        mailOf: (link) =>
          isTaken
            ? { kind: 'email-taken', to, language, values: {} }
            : { kind: 'email-change', to, language, values: { username, link } },
        alsoTold:
          email === undefined
            ? []
            : [links.tell({ kind: 'email-change-asked', to: email, language, values }, sub)],
        event: newEvent('account.email_change_asked', { accountSub: sub }, origin),
        isDropped,
      })
    },

    /** The address is proven, and, where it is a new one, takes the place of the old. */
    async confirm(link: EmailLink, account: Account, { language, origin }: About): Promise<LinkUse> {
      const { secretHash, purpose, request } = link
      const { sub, username, email: before } = account
      const { email } = request
      const use = (type: 'account.email_verified' | 'account.email_changed') => ({
        secretHash,
        event: newEvent(type, { accountSub: sub }, origin),
      })
      if (purpose === 'verification')
        return await selfService.verifyEmail(use('account.email_verified'), { sub, email })
      const told =
        before === undefined
          ? []
          : [links.tell({ kind: 'email-changed', to: before, language, values: { username, email } }, sub)]
      return await selfService.changeEmail(use('account.email_changed'), { sub, email, mail: told })
    },
  }
}
