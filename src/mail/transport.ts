import { randomUUID } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createTransport } from 'nodemailer'
import type { MailConfig } from '../config/config.ts'
import type { SmtpServer } from '../config/values.ts'

const CONNECT_MILLISECONDS = 4_000
const SILENCE_MILLISECONDS = 6_000
/** The limit for a whole delivery, shorter than the lease of a mail. */
const SENDING_MILLISECONDS = 15_000

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
  /** @returns the file of the mail, for the folder transport. Rejects with {@link SendingError}. */
  send: (message: Message) => Promise<{ file: string | undefined }>
  /** Rejects when mail cannot be sent now. */
  check: () => Promise<void>
}>

/** A failed delivery. Its message never has the server's text, which repeats the address. */
export class SendingError extends Error {
  override name = 'SendingError'
  /** Whether the server will never accept this mail, because its address does not exist. */
  readonly isFinal: boolean
  constructor(message: string, isFinal = false) {
    super(message)
    this.isFinal = isFinal
  }
}

/** Creates the configured transport; undefined without mail. */
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
    // On this machine only: certificates are issued for other names there.
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
      await withTimeout(SENDING_MILLISECONDS, transport.sendMail(compose(message)))
      return { file: undefined }
    },
    async check() {
      await withTimeout(SENDING_MILLISECONDS, transport.verify())
    },
  }
}

/** Writes mail into files, for development: a reader of the folder can use the links. */
function createFolderTransport(folder: string, compose: Compose): Transport {
  const transport = createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
  const makeFolder = () => mkdir(folder, { recursive: true, mode: 0o700 })
  return {
    async send(message) {
      const { message: bytes } = await transport.sendMail(compose(message))
      const file = join(folder, `${message.date.toISOString().replaceAll(':', '-')}-${message.id}.eml`)
      await makeFolder()
      // Renaming a complete file never shows half a mail, and a mail that is sent twice stays one file.
      const temporary = join(folder, `.${randomUUID()}`)
      await writeFile(temporary, bytes as Buffer, { mode: 0o600 })
      await rename(temporary, file)
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
    // As an object, so that an address is never parsed into two.
    to: { name: '', address: to },
    subject,
    text,
    html,
    headers: { 'Auto-Submitted': 'auto-generated', 'Content-Language': language },
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

async function withTimeout<T>(milliseconds: number, work: Promise<T>): Promise<T> {
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

/** Describes an error by nodemailer's codes. */
function toSendingError(error: unknown): SendingError {
  const { code, responseCode, command } = error as { code?: string; responseCode?: number; command?: string }
  const message = [code, responseCode, command && `at ${command.split(/[ :]/)[0]}`].filter(Boolean).join(' ')
  const isFinal = code === 'EENVELOPE' && (responseCode === undefined || responseCode >= 500)
  return new SendingError(message || 'failed', isFinal)
}
