import { randomUUID } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createTransport } from 'nodemailer'
import type { MailConfig } from '../config/config.ts'
import type { SmtpServer } from '../config/values.ts'

const CONNECT_MILLISECONDS = 4_000
const SILENCE_MILLISECONDS = 6_000
/** In all; shorter than the lease of a mail. */
const SENDING_MILLISECONDS = 15_000

/** A mail as it goes out. */
export type Message = Readonly<{
  id: string
  to: string
  subject: string
  text: string
  html: string
  language: string
  date: Date
}>

export type Transport = Readonly<{
  /** @returns the file it was written into, if that is where mail goes. Rejects with {@link SendingError}. */
  send: (message: Message) => Promise<{ file: string | undefined }>
  /** Rejects when mail cannot be sent now. */
  check: () => Promise<void>
}>

/** Why a mail did not leave. Never in the server's words: they repeat the address. */
export class SendingError extends Error {
  override name = 'SendingError'
  /** This mail will never be taken: the address does not exist, or is no address. */
  readonly isFinal: boolean
  constructor(message: string, isFinal = false) {
    super(message)
    this.isFinal = isFinal
  }
}

/** How mail leaves; undefined when it cannot. */
export function createMailTransport({ from, ...mail }: MailConfig): Transport | undefined {
  const compose = (message: Message) => toNodemailer(from, message)
  switch (mail.by) {
    case 'smtp':
      return createSmtpTransport(mail.server, compose)
    case 'folder':
      return createFolderTransport(mail.folder, compose)
    case 'nothing':
      return undefined
  }
}

type Compose = (message: Message) => ReturnType<typeof toNodemailer>

function createSmtpTransport({ host, port, tls, credentials }: SmtpServer, compose: Compose): Transport {
  const transport = createTransport({
    host,
    port,
    secure: tls === 'always',
    requireTLS: tls === 'starttls',
    // On this machine, where nobody listens in, and certificates are of another name.
    ignoreTLS: tls === 'never',
    tls: { minVersion: 'TLSv1.2', rejectUnauthorized: true },
    ...(credentials ? { auth: { user: credentials.user, pass: credentials.password } } : {}),
    connectionTimeout: CONNECT_MILLISECONDS,
    dnsTimeout: CONNECT_MILLISECONDS,
    greetingTimeout: CONNECT_MILLISECONDS,
    socketTimeout: SILENCE_MILLISECONDS,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    async send(message) {
      await within(SENDING_MILLISECONDS, transport.sendMail(compose(message)))
      return { file: undefined }
    },
    async check() {
      await within(SENDING_MILLISECONDS, transport.verify())
    },
  }
}

/** Mail as files, for development: whoever reads the folder reads the links. */
function createFolderTransport(folder: string, compose: Compose): Transport {
  const transport = createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
  const makeFolder = () => mkdir(folder, { recursive: true, mode: 0o700 })
  return {
    async send(message) {
      const { message: bytes } = await transport.sendMail(compose(message))
      const file = join(folder, `${message.date.toISOString().replaceAll(':', '-')}-${message.id}.eml`)
      await makeFolder()
      // Aside and renamed: who watches the folder never sees half a mail, and sent twice it is one file.
      const aside = join(folder, `.${randomUUID()}`)
      await writeFile(aside, bytes as Buffer, { mode: 0o600 })
      await rename(aside, file)
      return { file }
    },
    async check() {
      await makeFolder()
    },
  }
}

function toNodemailer(from: MailConfig['from'], { id, to, subject, text, html, language, date }: Message) {
  return {
    messageId: `<${id}@${from.address.split('@').at(-1)}>`,
    date,
    from: { name: from.name ?? '', address: from.address },
    // An object, not text: nothing in an address is taken for a second one.
    to: { name: '', address: to },
    subject,
    text,
    html,
    headers: { 'Auto-Submitted': 'auto-generated', 'Content-Language': language },
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  const cancelling = new AbortController()
  const tooLong = pause(milliseconds, undefined, { signal: cancelling.signal, ref: false }).then(() => {
    throw new SendingError('took too long')
  })
  try {
    return await Promise.race([work, tooLong])
  } catch (error) {
    throw error instanceof SendingError ? error : toSendingError(error)
  } finally {
    tooLong.catch(() => {})
    cancelling.abort()
  }
}

/** As nodemailer's errors describe themselves. */
function toSendingError(error: unknown): SendingError {
  const { code, responseCode, command } = error as { code?: string; responseCode?: number; command?: string }
  const words = [code, responseCode, command && `at ${command.split(/[ :]/)[0]}`].filter(Boolean).join(' ')
  const isFinal = code === 'EENVELOPE' && (responseCode === undefined || responseCode >= 500)
  return new SendingError(words || 'failed', isFinal)
}
