import { readdir, readFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { freePort } from './database-server.ts'

/** A parsed mail. */
export type Mail = Readonly<{
  to: string
  headers: ReadonlyMap<string, string>
  subject: string
  text: string
  html: string
  /** The path of the link with its secret, if there is one. */
  link: string | undefined
  raw: string
}>

/** Parses a mail of nodemailer: two alternatives, quoted-printable or base64, with folded and encoded headers. */
function parseMail(raw: string): Mail {
  const [head = '', ...rest] = raw.split('\r\n\r\n')
  const headers = headersOf(head)
  const boundary = /boundary="?([^";]+)/.exec(headers.get('content-type') ?? '')?.[1] ?? ''
  const parts = rest
    .join('\r\n\r\n')
    .split(`--${boundary}`)
    .map((part) => {
      const [partHead = '', ...body] = part.trimStart().split('\r\n\r\n')
      return { headers: headersOf(partHead), body: body.join('\r\n\r\n') }
    })
  const partOf = (type: string) => {
    const found = parts.find((part) => part.headers.get('content-type')?.startsWith(type))
    return found ? decodeBody(found.body, found.headers.get('content-transfer-encoding') ?? '') : ''
  }
  const [text, html] = [partOf('text/plain'), partOf('text/html')]
  return {
    to: headers.get('to') ?? '',
    headers,
    subject: decodeWords(headers.get('subject') ?? ''),
    text,
    html,
    link: /https?:\/\/[^/\s]+(\/account\/link\/[\w-]+)/.exec(text)?.[1],
    raw,
  }
}

function headersOf(head: string): Map<string, string> {
  const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
  return new Map(
    lines.flatMap((line) => {
      const [, name, value] = /^([\w-]+):\s*(.*)$/.exec(line) ?? []
      return name === undefined || value === undefined ? [] : [[name.toLowerCase(), value] as const]
    }),
  )
}

function decodeBody(body: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8')
  if (encoding !== 'quoted-printable') return body
  return decodeQuoted(body.replace(/=\r\n/g, ''))
}

const decodeQuoted = (text: string) =>
  Buffer.from(
    text.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString('utf8')

function decodeWords(value: string): string {
  return value
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?UTF-8\?([QB])\?([^?]*)\?=/gi, (_, kind: string, text: string) =>
      kind.toUpperCase() === 'B'
        ? Buffer.from(text, 'base64').toString('utf8')
        : decodeQuoted(text.replaceAll('_', ' ')),
    )
}

/** Waits for a number of mails to an address. @returns all mails to it. */
type ExpectMail = (to: string, count?: number, seconds?: number) => Promise<Mail[]>

/** Reads the folder that receives the mails of a server without SMTP. */
export function readOutbox(dataDir: string): { all: () => Promise<Mail[]>; expect: ExpectMail } {
  const folder = join(dataDir, 'outbox')
  async function all(): Promise<Mail[]> {
    const names = await readdir(folder).catch(() => [])
    const files = names.filter((name) => name.endsWith('.eml')).toSorted()
    return await Promise.all(files.map(async (name) => parseMail(await readFile(join(folder, name), 'utf8'))))
  }
  return { all, expect: expecting(all) }
}

function expecting(all: () => Mail[] | Promise<Mail[]>): ExpectMail {
  return async (to, count = 1, seconds = 8) =>
    await vi.waitFor(
      async () => {
        const mails = (await all()).filter((mail) => mail.to === to)
        expect(mails.length, `mails to ${to}`).toBeGreaterThanOrEqual(count)
        return mails
      },
      { timeout: seconds * 1000, interval: 20 },
    )
}

export type MailServer = Readonly<{
  url: string
  all: () => Mail[]
  expect: ExpectMail
  /** Sets the answer to RCPT; with undefined, the mail is accepted. */
  refuse: (answer: string | undefined) => void
  /** Sets whether the server leaves an accepted mail without an answer. */
  hang: (isHanging: boolean) => void
  open: () => Promise<void>
  close: () => Promise<void>
}>

/** A minimal local SMTP server (RFC 5321). */
export async function startMailServer(): Promise<MailServer> {
  const port = await freePort()
  const mails: Mail[] = []
  const sockets = new Set<Socket>()
  let refusal: string | undefined
  let isHanging = false
  let server: Server

  function talk(socket: Socket): void {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    const say = (line: string) => socket.write(`${line}\r\n`)
    let buffered = ''
    let isInMail = false
    say('220 mail.test ESMTP')
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1')
      for (;;) {
        const end = isInMail ? buffered.indexOf('\r\n.\r\n') : buffered.indexOf('\r\n')
        if (end < 0) return
        const piece = buffered.slice(0, end)
        buffered = buffered.slice(end + (isInMail ? 5 : 2))
        if (isInMail) {
          isInMail = false
          mails.push(parseMail(Buffer.from(piece.replace(/\r\n\.\./g, '\r\n.'), 'latin1').toString('utf8')))
          if (!isHanging) say('250 taken')
          continue
        }
        const command = piece.slice(0, 4).toUpperCase()
        if (command === 'DATA') {
          isInMail = true
          say('354 go on')
        } else if (command === 'RCPT' && refusal !== undefined) say(refusal)
        else if (command === 'STAR') say('502 no TLS here')
        else if (command === 'QUIT') socket.end('221 bye\r\n')
        else say('250 ok')
      }
    })
  }

  async function open(): Promise<void> {
    server = createServer(talk)
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  }
  await open()

  const all = () => mails
  return {
    url: `smtp://localhost:${port}`,
    all,
    expect: expecting(all),
    refuse(answer) {
      refusal = answer
    },
    hang(hanging) {
      isHanging = hanging
    },
    open,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}
