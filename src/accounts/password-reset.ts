import type { Account, AccountStore } from '../store/account.ts'
import { newEvent, type Origin } from '../store/event.ts'
import type { SelfServiceStore } from '../store/self-service.ts'
import type { Clock } from '../time.ts'
import { type Asker, type MailLinks, nobody, type OpenLink } from './mail-links.ts'
import { passwordNotice } from './password-notice.ts'
import type { SignInLimits } from './sign-in-limits.ts'

export type ResetLink = Extract<OpenLink, { purpose: 'reset' }>

type Needs = {
  accounts: AccountStore
  selfService: SelfServiceStore
  links: MailLinks
  limits: Pick<SignInLimits, 'unlock'>
  now: Clock
}

export type PasswordReset = ReturnType<typeof createPasswordReset>

/** New passwords for people who forgot theirs, by a link to their address (OWASP ASVS 6.4.3). */
export function createPasswordReset({ accounts, selfService, links, limits, now }: Needs) {
  return {
    /**
     * Mails a link to whoever signs in with this name. Unknown and disabled people, and those without an address, get
     * none: that takes the same time, and leaves the same rows.
     */
    async ask(
      login: string,
      asker: Asker,
      { language, origin }: { language: string; origin: Origin },
    ): Promise<void> {
      const found = (await accounts.findByLogin(login))?.account
      const account = found?.status === 'active' && found.email !== undefined ? found : undefined
      const to = account?.email
      await links.ask({
        purpose: 'reset',
        subject: account?.sub ?? nobody(),
        account,
        request: { asker },
        mailOf: (link) =>
          account && to !== undefined
            ? { kind: 'reset', to, language, values: { username: account.username, link } }
            : undefined,
        event: newEvent('account.reset_asked', { accountSub: found?.sub }, origin),
      })
    },

    /**
     * Replaces the password and ends all that was signed in. Nobody is signed in by it; a second factor stays.
     *
     * @returns the account under its new access epoch; undefined when the link does not work any more.
     */
    async confirm(
      { secretHash }: ResetLink,
      account: Account,
      passwordHash: string,
      { language, origin }: { language: string; origin: Origin },
    ): Promise<Account | undefined> {
      const { sub } = account
      const mail = passwordNotice(links, account, language)
      const { use, accessEpoch } = await selfService.resetPassword(
        {
          secretHash,
          now: now(),
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
