/** What went wrong, for a person who cannot know what a redirect URI is. */
export function describeError(status: number, code: string | undefined): { title: string; message: string } {
  const known = code === undefined ? undefined : BY_CODE[code]
  if (known) return known
  return BY_STATUS[status] ?? (status >= 500 ? BROKEN : REFUSED)
}

type Words = { title: string; message: string }

const REFUSED: Words = {
  title: 'That did not work',
  message: 'The request that brought you here was not complete or not allowed.',
}
const BROKEN: Words = { title: 'Something went wrong', message: 'We could not finish what you asked for.' }
const AWAY: Words = {
  title: 'We cannot answer just now',
  message: 'The service is busy or being restarted. Nothing was lost.',
}

const BY_STATUS: Record<number, Words> = {
  403: {
    title: 'This form was not accepted',
    message: 'It was open too long, or it was not sent from our own page.',
  },
  404: { title: 'There is nothing here', message: 'The address may be mistyped, or what was here is gone.' },
  413: { title: 'That was too much', message: 'The form that was sent is larger than we accept.' },
  414: { title: 'That address is too long', message: 'The app sent more than an address can hold.' },
  503: AWAY,
}

const BY_CODE: Record<string, Words> = {
  temporarily_unavailable: AWAY,
  invalid_client: {
    title: 'We do not know this app',
    message: 'The app that sent you here is not registered with us.',
  },
  invalid_redirect_uri: {
    title: 'We will not send you there',
    message: 'The app asked us to send you to an address that it has not registered.',
  },
  session_not_found: {
    title: 'This page has expired',
    message: 'It was open too long, was finished already, or belongs to another browser. Nothing was lost.',
  },
}
