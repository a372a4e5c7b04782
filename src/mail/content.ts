import { randomUUID } from 'node:crypto'
import type { Vault } from '../crypto/vault.ts'
import type { NewMail } from '../store/outbox/mail.ts'

const PURPOSE = 'mail'

/**
 * Every mail and its values; its template in `interactions/mail/` has the same name. The only stranger-supplied text in
 * a mail to an unproven address is a username: more would let strangers send their own text to anybody, and without it
 * the recipient would not know which account the address is for.
 */
export type Mails = {
  /** Proves the address of who registers. `link` is a path of ours, here and below. */
  registration: { link: string }
  /** Somebody wanted to register with an address that belongs to a person. */
  'account-exists': { username: string; link: string }
  /** Verifies an address; names the account, as the next mail does. */
  verification: { username: string; link: string }
  reset: { username: string; link: string }
  'password-changed': { username: string }
  /** To the new address: proves it. */
  'email-change': { username: string; link: string }
  /** To the new address, when it belongs to somebody. */
  'email-taken': Record<never, never>
  /** To the old address, before and after. */
  'email-change-asked': { username: string; email: string }
  'email-changed': { username: string; email: string }
}

export type MailKind = keyof Mails

/** A mail in one language, to one address. */
export type MailContent = {
  [Kind in MailKind]: Readonly<{ kind: Kind; to: string; language: string; values: Mails[Kind] }>
}[MailKind]

/** A mail for the outbox. Without content it goes to nobody, and looks like the others in the database. */
export function sealMail(
  vault: Vault,
  content: MailContent | undefined,
  { accountSub, seconds }: { accountSub: string | undefined; seconds: number },
): NewMail {
  const id = randomUUID()
  const sealedContent = vault.seal(JSON.stringify(content ?? null), PURPOSE, [id])
  return { id, accountSub, sealedContent, seconds }
}

/** @throws {UnsealError} */
export function openMail(
  vault: Vault,
  { id, sealedContent }: { id: string; sealedContent: Uint8Array },
): MailContent | undefined {
  return (JSON.parse(vault.open(sealedContent, PURPOSE, [id])) as MailContent | null) ?? undefined
}
