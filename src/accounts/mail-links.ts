import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../audit/event.ts'
import { type Identity, randomSecret, sha256, type Vault } from '../crypto/vault.ts'
import { type MailContent, sealMail } from '../mail/content.ts'
import type { Account } from '../store/account/account.ts'
import type { AccountAtEpoch, LinkPurpose, MailLinkStore } from '../store/account/mail-link.ts'
import type { NewMail } from '../store/outbox/mail.ts'
import { DAY_SECONDS, MINUTE_SECONDS } from '../time.ts'

/** Where every mailed link leads; behind it is the secret. */
export const LINK_PATH = '/account/link'

const LINK_SECONDS: Record<LinkPurpose, number> = {
  registration: DAY_SECONDS,
  verification: DAY_SECONDS,
  email_change: DAY_SECONDS,
  reset: 30 * MINUTE_SECONDS,
}

/** What was asked for, kept with the link. */
export type LinkRequests = {
  registration: Readonly<{
    email: string
    username: string
    name: string | undefined
    passwordHash: string
    asker: Asker
  }>
  reset: Readonly<{ asker: Asker }>
  verification: Readonly<{ email: string }>
  email_change: Readonly<{ email: string }>
}

/** The browser that asked, by a hash, and the sign-in that it was in the middle of. */
export type Asker = Readonly<{ browserHash: string; interaction: string | undefined }>

/** A link that works. */
export type OpenLink = {
  [Purpose in LinkPurpose]: Readonly<{
    purpose: Purpose
    secretHash: Uint8Array
    accountSub: string | undefined
    request: LinkRequests[Purpose]
  }>
}[LinkPurpose]

type Asking<Purpose extends LinkPurpose> = Readonly<{
  purpose: Purpose
  /** Whom the link is for: of each purpose they have one. */
  subject: string
  /** The account that the link is for, if there is one. A revocation of the whole account voids the link. */
  account: AccountAtEpoch | undefined
  request: LinkRequests[Purpose]
  /** What to mail, given the link. For nobody: nothing, which takes the same time. */
  mailOf: (link: string) => MailContent | undefined
  alsoTold?: readonly NewMail[]
  event: NewEvent
  /** A limit was reached: does the same work as for a mail without a recipient, and replaces no link. */
  isDropped: boolean
}>

export type MailLinks = ReturnType<typeof createMailLinks>

/** Links in mails. The secret is in the mail alone: here is its hash, and the mail is sealed until it is sent. */
export function createMailLinks({ mailLinks, vault }: { mailLinks: MailLinkStore; vault: Vault }) {
  return {
    async ask<Purpose extends LinkPurpose>(asking: Asking<Purpose>): Promise<void> {
      const { purpose, request } = asking
      const { subject, account, mailOf, alsoTold = [], event } = asking.isDropped ? toNobody(asking) : asking
      const secret = randomSecret()
      const secretHash = sha256(secret)
      const seconds = LINK_SECONDS[purpose]
      const mail = sealMail(vault, mailOf(`${LINK_PATH}/${secret}`), {
        accountSub: account?.sub,
        seconds,
      })
      await mailLinks.insert(
        {
          purpose,
          subject: vault.keyedHash(subject, `mail link ${purpose}`),
          secretHash,
          account,
          sealedRequest: vault.seal(JSON.stringify(request), purpose, identityOf(secretHash, account?.sub)),
          seconds,
        },
        { mail: [mail, ...alsoTold], event },
      )
    },

    /** @returns undefined when the link was used, replaced, or is too old. */
    async find(secret: string): Promise<OpenLink | undefined> {
      const secretHash = sha256(secret)
      const link = await mailLinks.find(secretHash)
      if (!link) return undefined
      const { purpose, account, sealedRequest } = link
      const opened = vault.tryOpen(sealedRequest, purpose, identityOf(secretHash, account?.sub))
      if (opened === undefined) return undefined
      return { purpose, secretHash, accountSub: account?.sub, request: JSON.parse(opened) } as OpenLink
    },

    tell,

    /** The mails that tell a person of a new password: one, or none without an address. */
    tellPasswordChanged({ sub, username, email }: Account, language: string): NewMail[] {
      if (email === undefined) return []
      const content: MailContent = { kind: 'password-changed', to: email, language, values: { username } }
      return [tell(content, sub)]
    },
  }

  /** Mail that only tells something; worth sending for a day. */
  function tell(content: MailContent, accountSub: string | undefined): NewMail {
    return sealMail(vault, content, { accountSub, seconds: DAY_SECONDS })
  }
}

function toNobody<Purpose extends LinkPurpose>(asking: Asking<Purpose>): Asking<Purpose> {
  const event = { ...asking.event, detail: { ...asking.event.detail, dropped: true } }
  return { ...asking, subject: nobody(), account: undefined, mailOf: () => undefined, alsoTold: [], event }
}

/** The sealing identity of a link is its secret and its account, so a sealed request opens in no other row. */
const identityOf = (secretHash: Uint8Array, accountSub: string | undefined): Identity => [
  secretHash,
  accountSub ?? '',
]

/** Whom a link is for when it is for nobody. */
export const nobody = (): string => randomUUID()
