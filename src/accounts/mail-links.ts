import { randomUUID } from 'node:crypto'
import type { NewEvent, Origin } from '../audit/event.ts'
import { type Identity, randomSecret, sha256, type Vault } from '../crypto/vault.ts'
import { type MailContent, type MailText, sealMail } from '../mail/content.ts'
import type { AccountAtEpoch } from '../store/account/access-epoch.ts'
import type { Account } from '../store/account/account.ts'
import type { LinkPurpose, MailLinkStore } from '../store/account/mail-link.ts'
import type { NewMail } from '../store/outbox/mail.ts'
import { DAY_SECONDS, MINUTE_SECONDS } from '../time.ts'

/** The path of mailed links; the secret follows it. */
export const LINK_PATH = '/account/link'

const LINK_SECONDS: Record<LinkPurpose, number> = {
  registration: DAY_SECONDS,
  verification: DAY_SECONDS,
  email_change: DAY_SECONDS,
  reset: 30 * MINUTE_SECONDS,
}

/** The request that a link confirms; stored sealed with the link. */
export type LinkRequests = {
  registration: Readonly<{
    email: string
    username: string
    name: string | undefined
    passwordHash: string
    requester: Requester
  }>
  reset: Readonly<{ requester: Requester }>
  verification: Readonly<{ email: string }>
  email_change: Readonly<{ email: string }>
}

/** The reader of a mail, and where the request for it came from. */
export type Reader = Readonly<{ language: string; origin: Origin }>

/** `isDropped`: a limit was reached. The mail is not sent, and the answer is the same as for a sent one. */
export type MailRequest = Reader & Readonly<{ isDropped: boolean }>

/** The requesting browser, as a hash of its cookie, and its unfinished sign-in. */
export type Requester = Readonly<{ browserHash: string; interaction: string | undefined }>

/** A link that is still valid. */
export type OpenLink = {
  [Purpose in LinkPurpose]: Readonly<{
    purpose: Purpose
    secretHash: Uint8Array
    accountSub: string | undefined
    request: LinkRequests[Purpose]
  }>
}[LinkPurpose]

type LinkRequest<Purpose extends LinkPurpose> = Readonly<{
  purpose: Purpose
  /** The recipient: a new link of the same purpose replaces the old one. */
  subject: string
  /** The account that the link is for, if there is one. A revocation of the whole account voids the link. */
  account: AccountAtEpoch | undefined
  request: LinkRequests[Purpose]
  /** The mail with the link. Without a recipient: undefined, which takes the same time. */
  mailOf: (link: string) => MailContent | undefined
  notices?: readonly NewMail[]
  event: NewEvent
  /** A limit was reached: does the same work as for a mail without a recipient, and replaces no link. */
  isDropped: boolean
}>

export type MailLinks = ReturnType<typeof createMailLinks>

/** Links in mails. The database has only the hash of the secret, and the mail is sealed until it is sent. */
export function createMailLinks({ mailLinks, vault }: { mailLinks: MailLinkStore; vault: Vault }) {
  return {
    async send<Purpose extends LinkPurpose>(linkRequest: LinkRequest<Purpose>): Promise<void> {
      const { purpose, request, isDropped } = linkRequest
      const {
        subject,
        account,
        mailOf,
        notices = [],
        event,
      } = isDropped ? withoutRecipient(linkRequest) : linkRequest
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
          sealedRequest: vault.seal(serialize(request), purpose, identityOf(secretHash, account?.sub)),
          seconds,
        },
        { mail: [mail, ...notices], event },
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
      return { purpose, secretHash, accountSub: account?.sub, request: parse(opened) } as OpenLink
    },

    notices,

    passwordChangedNotices: (account: Account, language: string): NewMail[] =>
      notices(account, { kind: 'password-changed', language, values: { username: account.username } }),
  }

  /** A mail without a link to the account's address; none without an address. Delivery is retried for a day. */
  function notices({ sub, email }: Account, text: MailText): NewMail[] {
    if (email === undefined) return []
    return [sealMail(vault, { ...text, to: email }, { accountSub: sub, seconds: DAY_SECONDS })]
  }
}

/** The same work and the same rows, without a mail. */
function withoutRecipient<Purpose extends LinkPurpose>(request: LinkRequest<Purpose>): LinkRequest<Purpose> {
  const event = { ...request.event, detail: { ...request.event.detail, dropped: true } }
  const nothing = { account: undefined, mailOf: () => undefined, notices: [] }
  return { ...request, ...nothing, subject: randomSubject(), event }
}

/** In the database the requester is the `asker`: the previous version stored it so, and reads links of this one. */
function serialize(request: LinkRequests[LinkPurpose]): string {
  if (!('requester' in request)) return JSON.stringify(request)
  const { requester: asker, ...others } = request
  return JSON.stringify({ ...others, asker })
}

function parse(stored: string): unknown {
  const { asker, ...others } = JSON.parse(stored)
  return asker === undefined ? others : { ...others, requester: asker }
}

/** The sealing identity of a link is its secret and its account, so a sealed request opens in no other row. */
const identityOf = (secretHash: Uint8Array, accountSub: string | undefined): Identity => [
  secretHash,
  accountSub ?? '',
]

/** The subject of a link without a recipient. */
export const randomSubject = (): string => randomUUID()
