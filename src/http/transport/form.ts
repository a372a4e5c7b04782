import type { Context } from 'koa'
import getRawBody from 'raw-body'
import { FORM_TYPE, MAX_FORM_BYTES } from '../../oidc/engine/form.ts'

/** A request that is refused before anybody looks at what it asks for. */
export class BadRequestError extends Error {
  override name = 'BadRequestError'
  readonly status: number
  constructor(status: 400 | 403 | 405 | 413 | 414 | 415 | 431, message: string) {
    super(message)
    this.status = status
  }
}

export function isForm(ctx: Context): boolean {
  return ctx.is(FORM_TYPE) === FORM_TYPE
}

/** Whether there is a body that is no form. */
export function isOtherBody(ctx: Context): boolean {
  return ctx.is(FORM_TYPE) === false && ctx.get('content-length') !== '0'
}

/**
 * Reads a form once, for whoever needs it.
 *
 * @throws {BadRequestError} 413 when it is too long, 415 when it is compressed, 400 when it is not UTF-8 or holds NUL
 *   bytes: Postgres stores no NUL, and nothing honest sends one.
 */
export async function readForm(ctx: Context): Promise<URLSearchParams> {
  if (ctx.get('content-encoding'))
    throw new BadRequestError(415, 'compressed request bodies are not accepted')
  const bytes = await getRawBody(ctx.req, {
    limit: MAX_FORM_BYTES,
    length: ctx.get('content-length') || null,
  }).catch((error: unknown) => {
    throw isTooLarge(error)
      ? new BadRequestError(413, 'the request body is too large')
      : new BadRequestError(400, 'the request body was cut off')
  })
  const text = decode(bytes)
  refuseUnreadable(text)
  return new URLSearchParams(text)
}

/**
 * Refuses text with NUL bytes or with escapes that are no UTF-8: overlong ones, halves of surrogate pairs.
 *
 * @throws {BadRequestError} 400
 */
export function refuseUnreadable(encoded: string): void {
  if (encoded.includes('\0') || encoded.includes('%00'))
    throw new BadRequestError(400, 'NUL bytes are not accepted')
  for (const [escapes] of encoded.matchAll(/(?:%[0-9a-f]{2})+/gi)) {
    try {
      decodeURIComponent(escapes)
    } catch {
      throw new BadRequestError(400, 'the request is not UTF-8')
    }
  }
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new BadRequestError(400, 'the request body is not UTF-8')
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'type' in error && error.type === 'entity.too.large'
}
