import type { Account } from '../store/account/account.ts'
import type { NewMail } from '../store/outbox/mail.ts'
import type { MailLinks } from './mail-links.ts'

/** The mail that tells a person of their new password, if they have an address. */
export function passwordNotice(
  links: Pick<MailLinks, 'tell'>,
  { sub, username, email }: Account,
  language: string,
): NewMail[] {
  if (email === undefined) return []
  return [links.tell({ kind: 'password-changed', to: email, language, values: { username } }, sub)]
}
