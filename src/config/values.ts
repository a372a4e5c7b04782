import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { z } from 'zod'
import { isLoopback } from '../loopback.ts'
import { accentFault, type Scheme } from '../ui/brand/colors.ts'
import type { Color } from '../ui/brand/contrast.ts'
import { type Logo, parseLogo } from '../ui/brand/logo.ts'

const MASTER_KEY_BYTES = 32
/** Wider networks are a mistake: two halves of the address space would include every address. */
const WIDEST_PREFIX = { ipv4: 8, ipv6: 7 }

/** A schema from a function that throws a {@link Fault}: the end of the sentence "SETTING …". */
function parsedBy<Value>(parse: (text: string) => Value) {
  return z.string().transform((text, context): Value => {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      context.addIssue({ code: 'custom', message: error.message })
      return z.NEVER
    }
  })
}

class Fault extends Error {}

function fail(message: string): never {
  throw new Fault(message)
}

export function wholeNumber(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`
  return z.coerce.number(message).int(message).min(least, message).max(most, message)
}

export const seconds = (least: number, most: number) =>
  z.coerce
    .number('must be a whole number of seconds')
    .int('must be a whole number of seconds')
    .min(least, `must be at least ${least} seconds`)
    .max(most, `must be at most ${most} seconds`)

export const onOrOff = z
  .enum(['on', 'off'], { error: 'must be on or off' })
  .transform((value) => value === 'on')

export const folder = z
  .string()
  .refine((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false, {
    message: 'must be a folder',
  })

export const issuer = parsedBy((text) => {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol))
    fail('must be an http(s) URL such as https://login.example.com')
  if (url.pathname !== '/' || url.search || url.hash || url.username || url.password)
    fail('must be an origin alone: no path, query, fragment or credentials')
  if (url.protocol === 'http:' && !isLoopback(url)) fail('must use https, except on localhost')
  return url.origin
})

export const databaseUrl = z
  .string()
  .refine((value) => /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? ''), 'must be a postgres:// URL')

export const masterKeys = parsedBy((text) => {
  const keys = splitList(text).map((key) => Buffer.from(key, 'base64'))
  if (keys.length === 0 || keys.some((key) => key.length !== MASTER_KEY_BYTES))
    fail(
      'must be 32 bytes in base64 (make one with: openssl rand -base64 32); several, newest first, separated by commas',
    )
  return keys
})

/** @param tooWide the message for a network that includes a large part of all addresses. */
export const networks = (tooWide: string) =>
  parsedBy((text) => {
    const list = splitList(text)
    const faults = list.flatMap((network) => networkFault(network) ?? [])
    if (faults.length > 0) fail(faults.join('; '))
    return list.some(isTooWide) ? fail(tooWide) : list
  })

function networkFault(network: string): string | undefined {
  const [address = '', prefix] = network.split('/')
  if (isIP(address) === 0) return `${network}: not an IP address or CIDR network`
  return prefix === undefined || ipaddr.isValidCIDR(network)
    ? undefined
    : `${network}: not a valid prefix length`
}

function isTooWide(network: string): boolean {
  const [address = '', prefix] = network.split('/')
  const widest = isIP(address) === 6 ? WIDEST_PREFIX.ipv6 : WIDEST_PREFIX.ipv4
  return prefix !== undefined && Number(prefix) < widest
}

/** The SMTP server of outgoing mail. TLS follows from the URL's scheme and host; no option weakens it. */
export type SmtpServer = Readonly<{
  host: string
  port: number
  /** `always`: TLS from the first byte. `starttls`: before credentials and mail. `never`: on this machine only. */
  tls: 'always' | 'starttls' | 'never'
  credentials: Readonly<{ user: string; password: string }> | undefined
}>

export const smtpUrl = parsedBy((text): SmtpServer => {
  const url = URL.parse(text)
  if (!url || !/^smtps?:$/.test(url.protocol) || url.hostname === '')
    fail('must be an smtp:// or smtps:// URL such as smtps://user:password@mail.example.com')
  if (!/^\/?$/.test(url.pathname) || url.search || url.hash)
    fail('must be a server alone: no path, query or fragment')
  if ((url.username === '') !== (url.password === '')) fail('must have a user and a password, or neither')
  const isSecure = url.protocol === 'smtps:'
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (isSecure ? 465 : 587) : Number(url.port),
    tls: isSecure ? 'always' : isLoopback(url) ? 'never' : 'starttls',
    credentials: url.username === '' ? undefined : parseCredentials(url),
  }
})

function parseCredentials({ username, password }: URL): { user: string; password: string } {
  try {
    return { user: decodeURIComponent(username), password: decodeURIComponent(password) }
  } catch {
    return fail('must have a user and password in percent-encoding')
  }
}

/** The From header of outgoing mail. */
export type Sender = Readonly<{ name: string | undefined; address: string }>

export const sender = parsedBy((text): Sender => {
  const [, name, address = ''] = /^(?:"?([^"<>\p{Cc}]*?)"?\s*<)?([^<>\s]+)>?$/u.exec(text.trim()) ?? []
  // A host without a dot is allowed for development: `no-reply@localhost`.
  if (!/^[\w.+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(address))
    fail('must be an address such as no-reply@example.com, or Name <no-reply@example.com>')
  return { name: name?.trim() || undefined, address }
})

export const brandName = z
  .string()
  .trim()
  .min(1)
  .max(60, 'must be at most 60 characters')
  .refine((value) => !/\p{Cc}/u.test(value), 'must be one line of text')

export const brandColor = (scheme: Scheme) =>
  parsedBy((text): Color => {
    const color = text.toLowerCase()
    if (!isColor(color)) fail('must be a colour such as #2746d8')
    const fault = accentFault(color, scheme)
    return fault === undefined ? color : fail(fault)
  })

export const brandLogo = parsedBy((path): Logo => {
  const logo = readLogo(path)
  return 'fault' in logo ? fail(`${path} ${logo.fault}`) : logo
})

function readLogo(path: string): Logo | { fault: string } {
  try {
    return parseLogo(readFileSync(path))
  } catch {
    return { fault: 'cannot be read' }
  }
}

function isColor(value: string): value is Color {
  return /^#[0-9a-f]{6}$/.test(value)
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)
}
