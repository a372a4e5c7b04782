import type { IncomingMessage } from 'node:http'

export const MAX_URL_CHARACTERS = 16 * 1024

/** Visible ASCII but `#`: everything else is percent-encoded in a URL (RFC 3986 §2). */
const ORIGIN_FORM = /^\/[!"$-~]*$/
const ABSOLUTE_FORM = /^https?:\/\/[^/?]*/i

/**
 * The path and query of a request. A proxy may send an origin before them (RFC 9112 §3.2.2), which is ignored: the
 * configured issuer is the origin.
 *
 * @returns undefined when the target is of another form, or the request does not name one host (§3.2).
 */
export function parseTarget({
  url = '',
  httpVersion,
  rawHeaders,
}: Pick<IncomingMessage, 'url' | 'httpVersion' | 'rawHeaders'>): string | undefined {
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length
  if (hosts > 1 || (hosts === 0 && httpVersion !== '1.0')) return undefined
  const target = url.replace(ABSOLUTE_FORM, '').replace(/^(?=\?|$)/, '/')
  return ORIGIN_FORM.test(target) && url !== '' ? target : undefined
}

/** Whether the URL caused an overflow, not the headers: the first packet begins with one long line. */
export function isOverlongTarget(firstPacket: Buffer | undefined): boolean {
  if (!firstPacket) return false
  const end = firstPacket.indexOf('\r\n')
  return firstPacket.subarray(0, end < 0 ? undefined : end).length > MAX_URL_CHARACTERS
}
