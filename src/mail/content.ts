/**
 * Room mail/: the content of each mail, its rendering from `interactions/mail/`, and its transport (SMTP or a folder).
 * The outbox decides when a mail is sent.
 */
import { randomUUID } from 'node:crypto'
import type { Vault } from '../crypto/vault.ts'
import type { NewMail } from '../store/outbox/mail.ts'

const PURPOSE = 'mail'

/**
 * The kinds of mail with their values; the template of a kind in `interactions/mail/` has its name. A mail to an
 * unverified address contains no text from a request except a username. More would let attackers send their own text to
 * any address; without the username the recipient would not know the account.
 */
export type Mails = {
  /** Verifies the address of a registration. `link` is a path of this server, here and below. */
  registration: { link: string }
  /** Informs the owner of an address about a registration with it. */
  'account-exists': { username: string; link: string }
  /** Verifies the address of an account. */
  verification: { username: string; link: string }
  reset: { username: string; link: string }
  'password-changed': { username: string }
  /** Verifies a new address. Sent to that address. */
  'email-change': { username: string; link: string }
  /** Sent to a new address that belongs to another account. */
  'email-taken': Record<never, never>
  /** Sent to the old address, before and after the change. */
  'email-change-asked': { username: string; email: string }
  'email-changed': { username: string; email: string }
}

/** A mail in one language. */
export type MailText = {
  [Kind in keyof Mails]: Readonly<{ kind: Kind; language: string; values: Mails[Kind] }>
}[keyof Mails]
/** The same to one address. */
export type MailContent = MailText & Readonly<{ to: string }>

/** Seals a mail for the outbox. One without content is not sent, and looks like any other in the database. */
export function sealMail(
  vault: Vault,
  content: MailContent | undefined,
  { accountSub, seconds }: { accountSub: string | undefined; seconds: number },
): NewMail {
  const id = randomUUID()
  const sealedContent = vault.seal(JSON.stringify(content ?? null), PURPOSE, [id])
  return { id, accountSub, sealedContent, seconds }
}

type SealedMail = Pick<NewMail, 'id' | 'sealedContent'>

/** @throws {UnsealError} */
export function openMail(vault: Vault, { id, sealedContent }: SealedMail): MailContent | undefined {
  return (JSON.parse(vault.open(sealedContent, PURPOSE, [id])) as MailContent | null) ?? undefined
}
