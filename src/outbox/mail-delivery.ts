import type { Vault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { type MailContent, openMail } from '../mail/content.ts'
import { type Message, SendingError, type Transport } from '../mail/transport.ts'
import type { Metrics } from '../metrics.ts'
import type { DueMail, MailStore } from '../store/outbox/mail.ts'
import { type Outbox, toLogFields } from './delivery.ts'

const GIVE_UP_ROWS = 500
const MOST_COUNTED = 100_000
const MOST_AT_ONCE = 4
/** The recipient of every mail: when the server is unreachable, no mail is sent. */
const SERVER = 'mail server'

type Needs = {
  mail: MailStore
  vault: Vault
  transport: Transport
  render: (content: MailContent) => Pick<Message, 'subject' | 'text' | 'html'>
  metrics: Metrics
  log: Log
}

/**
 * Sends mail, at least once each. Retries with growing pauses until the server accepts it or it has expired (its link
 * would no longer work).
 */
export function createMailDelivery(needs: Needs): Outbox<DueMail> {
  const { mail, vault, transport, render, metrics, log } = needs

  return {
    name: 'mail',
    table: 'mail',
    mostAtOnce: MOST_AT_ONCE,
    claim: async (most, { backedOff }) => (backedOff.length > 0 ? [] : await mail.claim(most)),
    recipientOf: () => SERVER,

    async deliver(due, backOff) {
      try {
        const content = openMail(vault, due)
        if (content) await send(due, content)
        await mail.delete(due.id)
      } catch (error) {
        const isFinal = error instanceof SendingError && error.isFinal
        if (error instanceof SendingError && !isFinal) backOff()
        metrics.mails.inc({ outcome: isFinal ? 'refused' : 'failed' })
        log.warn({
          event: 'mail.failed',
          mail: due.id,
          attempt: due.attempts,
          isFinal,
          ...toLogFields(error),
        })
        // If the deletion fails, the mail is tried and rejected once more.
        if (isFinal) await mail.delete(due.id).catch(() => {})
      }
    },

    async expire() {
      const givenUp = await mail.giveUp(GIVE_UP_ROWS)
      if (givenUp > 0) {
        metrics.mails.inc({ outcome: 'given_up' }, givenUp)
        log.warn({ event: 'mail.given_up', mails: givenUp })
      }
      metrics.mailsPending.set(await mail.countPending(MOST_COUNTED))
    },
  }

  async function send({ id, createdAt, attempts }: DueMail, content: MailContent): Promise<void> {
    const { to, language, kind } = content
    const rendered = render(content)
    const { file } = await transport.send({ id, to, language, date: createdAt, ...rendered })
    metrics.mails.inc({ outcome: 'sent' })
    // The log has the subject and the file, never the link.
    const about = file === undefined ? {} : { subject: rendered.subject, file }
    log.info({ event: 'mail.sent', mail: id, kind, to: maskAddress(to), attempt: attempts, ...about })
  }
}

/** Masks an address for the log: `a…@example.com`. */
function maskAddress(address: string): string {
  const at = address.lastIndexOf('@')
  return `${[...address][0] ?? ''}…${address.slice(at)}`
}
