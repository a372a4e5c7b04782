import { newEvent } from '../audit/event.ts'
import type { Account, AccountStore } from '../store/account/account.ts'
import type { LinkUse, SelfServiceStore } from '../store/account/self-service.ts'
import type { MailLinks, MailRequest, OpenLink, Reader } from './mail-links.ts'

export type EmailLink = Extract<OpenLink, { purpose: 'verification' | 'email_change' }>

type Needs = { accounts: AccountStore; selfService: SelfServiceStore; links: MailLinks }

export type EmailChange = ReturnType<typeof createEmailChange>

/** E-mail addresses of accounts: a mailed link verifies an address or changes it. */
export function createEmailChange({ accounts, selfService, links }: Needs) {
  return {
    /** Mails a link that verifies the account's address. */
    async requestVerification(
      account: Account,
      to: string,
      { language, origin, isDropped }: MailRequest,
    ): Promise<void> {
      const { sub, username } = account
      await links.send({
        purpose: 'verification',
        subject: sub,
        account,
        request: { email: to },
        mailOf: (link) => ({ kind: 'verification', to, language, values: { username, link } }),
        event: newEvent('account.verification_asked', { accountSub: sub }, origin),
        isDropped,
      })
    },

    /**
     * Mails a link to the new address and a notice to the old one. Only the mail says that another account has the new
     * address.
     */
    async requestChange(
      account: Account,
      to: string,
      { language, origin, isDropped }: MailRequest,
    ): Promise<void> {
      const { sub, username } = account
      const owner = (await accounts.findByLogin(to))?.account
      const isTaken = owner !== undefined && owner.sub !== sub
      const values = { username, email: to }
      await links.send({
        purpose: 'email_change',
        subject: sub,
        account,
        request: { email: to },
        mailOf: (link) =>
          isTaken
            ? { kind: 'email-taken', to, language, values: {} }
            : { kind: 'email-change', to, language, values: { username, link } },
        notices: links.notices(account, { kind: 'email-change-asked', language, values }),
        event: newEvent('account.email_change_asked', { accountSub: sub }, origin),
        isDropped,
      })
    },

    /** Marks the link's address as verified; a new address replaces the old one. */
    async confirm(link: EmailLink, account: Account, { language, origin }: Reader): Promise<LinkUse> {
      const { secretHash, purpose, request } = link
      const { sub, username } = account
      const { email } = request
      const use = (type: 'account.email_verified' | 'account.email_changed') => ({
        secretHash,
        event: newEvent(type, { accountSub: sub }, origin),
      })
      if (purpose === 'verification')
        return await selfService.verifyEmail(use('account.email_verified'), { sub, email })
      const mail = links.notices(account, { kind: 'email-changed', language, values: { username, email } })
      return await selfService.changeEmail(use('account.email_changed'), { sub, email, mail })
    },
  }
}
