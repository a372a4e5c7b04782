import type { ErrorKind } from '../../ui/view-models.ts'

/** What went wrong, for a person who cannot know what a redirect URI is: it names the messages of the error page. */
export function errorKindOf(status: number, code: string | undefined): ErrorKind {
  return BY_CODE[code ?? ''] ?? BY_STATUS[status] ?? (status >= 500 ? 'broken' : 'refused')
}

const BY_STATUS: Record<number, ErrorKind> = {
  403: 'form-refused',
  404: 'not-found',
  408: 'too-slow',
  413: 'too-large',
  414: 'url-too-long',
  429: 'too-many',
  431: 'headers-too-long',
  503: 'unavailable',
}

const BY_CODE: Record<string, ErrorKind> = {
  temporarily_unavailable: 'unavailable',
  invalid_client: 'unknown-client',
  invalid_redirect_uri: 'foreign-address',
  session_not_found: 'expired',
}
