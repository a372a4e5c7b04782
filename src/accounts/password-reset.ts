import { newEvent } from '../audit/event.ts'
import type { SignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import type { Account, AccountStore } from '../store/account/account.ts'
import type { SelfServiceStore } from '../store/account/self-service.ts'
import {
  type MailLinks,
  type MailRequest,
  type OpenLink,
  type Reader,
  type Requester,
  randomSubject,
} from './mail-links.ts'

type ResetLink = Extract<OpenLink, { purpose: 'reset' }>

export type ResetRecipient = Readonly<{
  /** The account with this name, also when it gets no mail. */
  sub: string | undefined
  /** The account that gets the mail, if one does. */
  account: Account | undefined
  /** The account's address, otherwise the name as it was entered. */
  to: string
}>

type Needs = {
  accounts: AccountStore
  selfService: SelfServiceStore
  links: MailLinks
  limits: Pick<SignInRateLimit, 'unlock'>
}

export type PasswordReset = ReturnType<typeof createPasswordReset>

/** Password reset by a link to the account's address (OWASP ASVS 6.4.3). */
export function createPasswordReset({ accounts, selfService, links, limits }: Needs) {
  return {
    /** Finds the recipient of a reset that was requested for this name. */
    async find(login: string): Promise<ResetRecipient> {
      const found = (await accounts.findByLogin(login))?.account
      const account = found?.status === 'active' && found.email !== undefined ? found : undefined
      return { sub: found?.sub, account, to: account?.email ?? login }
    },

    /**
     * Mails a reset link. Unknown and disabled accounts, and those without an address, get none; the call takes the
     * same time and leaves the same rows, so the answer does not reveal accounts.
     *
     * @param about.isDropped a limit was reached: no mail is sent, and the answer is the same.
     */
    async request(
      { sub, account, to }: ResetRecipient,
      requester: Requester,
      { language, origin, isDropped }: MailRequest,
    ): Promise<void> {
      await links.send({
        purpose: 'reset',
        subject: account?.sub ?? randomSubject(),
        account,
        request: { requester },
        mailOf: (link) =>
          account && { kind: 'reset', to, language, values: { username: account.username, link } },
        event: newEvent('account.reset_asked', { accountSub: sub }, origin),
        isDropped,
      })
    },

    /**
     * Replaces the password and revokes every session, grant and remembered browser. Starts no session; a second factor
     * stays required.
     *
     * @returns the account with its new access epoch; undefined when the link is no longer valid.
     */
    async confirm(
      { secretHash }: ResetLink,
      account: Account,
      passwordHash: string,
      { language, origin }: Reader,
    ): Promise<Account | undefined> {
      const { sub } = account
      const mail = links.passwordChangedNotices(account, language)
      const { use, accessEpoch } = await selfService.resetPassword(
        {
          secretHash,
          event: newEvent('account.password_reset', { accountSub: sub, detail: { by: 'person' } }, origin),
        },
        { sub, passwordHash, cause: { reason: 'password_changed', by: 'person', origin }, mail },
      )
      if (use !== 'done' || accessEpoch === undefined) return undefined
      await limits.unlock(account)
      return { ...account, accessEpoch }
    },
  }
}
