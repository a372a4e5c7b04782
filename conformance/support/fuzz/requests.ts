import fc from 'fast-check'
import { ENDPOINTS, type Endpoint } from './endpoints.ts'
import { type Fixtures, INGREDIENTS } from './fixtures.ts'

/** The special characters of HTML between unique letters; no answer may contain them unescaped. */
const MARKER = `zq1<zq2>zq3"zq4'zq5`
export const UNESCAPED_MARKER = /zq1<|zq2>|zq3"zq4|zq4'zq5/
/** A header that an answer has only after header injection (CWE-113). */
export const INJECTED_HEADER = 'x-fuzzed'

const NASTY = [
  '',
  ' ',
  MARKER,
  `javascript:${MARKER}`,
  `"><script>${MARKER}</script>`,
  `\r\n${INJECTED_HEADER}: 1\r\n\r\n`,
  `x\n${INJECTED_HEADER}: 1`,
  '\0',
  'a\0b',
  '\ud800',
  '\u202e\u0000\ufeff\uffff',
  '🚢'.repeat(50),
  "' or '1'='1",
  '"; drop table account; --',
  '{{7*7}}<%= 7*7 %>',
  '../../../../etc/passwd',
  '//evil.example.test/',
  'https://evil.example.test/',
  'https:\\\\evil.example.test',
  '/\\evil.example.test',
  'data:text/html,x',
  '__proto__',
  'constructor',
  'toString',
  '[object Object]',
  'null',
  'undefined',
  'NaN',
  '-1',
  '0',
  '1e400',
  '99999999999999999999',
  '-9223372036854775809',
  'true',
  '{}',
  '[]',
  '{"id_token":null}',
  '{"id_token":{"acr":{"essential":true,"value":"\\u0000\\ud800"}}}',
  `{"id_token":${'{"a":'.repeat(200)}1${'}'.repeat(200)}}`,
  `{"userinfo":{"__proto__":{"x":1}}}`,
  'none login consent',
  'openid '.repeat(300),
  'x'.repeat(300),
  'x'.repeat(9_000),
  'eyJhbGciOiJub25lIn0.e30.',
  'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJcdWQ4MDAifQ.x',
  '%00',
  '%ff%fe',
  '%c0%80',
  '%',
  '%zz',
]

const ODD_PATHS = [
  '',
  '/',
  '//',
  '/.',
  '/..;/',
  '/%2e%2e/',
  '/%2f',
  '%00',
  '%ff',
  '/%E0%A4%A',
  '\\',
  '?',
  '??a=b',
  '#x',
  ';x=y',
  `/${encodeURIComponent(MARKER)}`,
  `/${'a/'.repeat(500)}`,
]

const METHODS = ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'QUERY']

const HEADERS = [
  'accept',
  'accept-language',
  'accept-encoding',
  'authorization',
  'content-encoding',
  'content-type',
  'cookie',
  'dpop',
  'expect',
  'forwarded',
  'if-none-match',
  'if-modified-since',
  'origin',
  'range',
  'referer',
  'sec-fetch-site',
  'traceparent',
  'upgrade',
  'user-agent',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-http-method-override',
  'x-request-id',
]

const BODY_TYPES = [
  'application/json',
  'text/plain',
  'multipart/form-data; boundary=x',
  'application/x-www-form-urlencoded; charset=utf-16',
  'APPLICATION/X-WWW-FORM-URLENCODED;;',
  ';',
]

/** A value, unchanged or slightly mutated. */
const value: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...INGREDIENTS).map((name) => `{${name}}`) },
  { weight: 4, arbitrary: fc.constantFrom(...NASTY) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...INGREDIENTS), fc.constantFrom(...NASTY))
      .map(([name, nasty]) => `{${name}}${nasty}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...INGREDIENTS).map((name) => `{${name}:upper}`),
  },
  { weight: 1, arbitrary: fc.constantFrom(...INGREDIENTS).map((name) => `{${name}:cut}`) },
)

const parameterNames = [
  ...new Set(ENDPOINTS.flatMap(({ query, form }) => Object.keys({ ...query, ...form }))),
  'action',
  'logout',
  'confirm',
  'abort',
  'dpop_jkt',
  'id_token_hint',
  'resource',
  'request',
  'registration',
  'authorization_details',
  'display',
  'response_mode',
  '__proto__',
]
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...parameterNames) },
  { weight: 1, arbitrary: value },
)

const where = fc.constantFrom('query' as const, 'form' as const)
const mutation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('change' as const), pick: fc.nat(), value }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add' as const), where, name, value }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('repeat' as const), pick: fc.nat(), value }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('header' as const), name: fc.constantFrom(...HEADERS), value }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('cookies' as const),
      value: fc.constantFrom('session', 'loginCookies', 'consentCookies', 'resumeCookies', 'deviceCookies'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cookieValue' as const), pick: fc.nat(), value }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('method' as const), value: fc.constantFrom(...METHODS) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('path' as const), value: fc.constantFrom(...ODD_PATHS) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pathPart' as const), value }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('body' as const),
      type: fc.constantFrom(...BODY_TYPES),
      value: fc.oneof(value, fc.json()),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 60 }) }),
  },
)
type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never

/** A request for one endpoint with up to five mutations. */
export const fuzzedRequest = fc.record({
  endpoint: fc.nat(ENDPOINTS.length - 1),
  accept: fc.constantFrom('text/html', 'application/json', '*/*', 'text/html;q=0.1,application/json;q=0.2'),
  /** The client address, by which attempts are counted. */
  address: fc.oneof(fc.ipV4(), fc.ipV6()),
  mutations: fc.array(mutation, { maxLength: 5 }),
})
export type FuzzedRequest = typeof fuzzedRequest extends fc.Arbitrary<infer Value> ? Value : never

type Draft = {
  method: string
  path: string
  query: [string, string][]
  form: [string, string][] | undefined
  body: Buffer | undefined
  headers: [string, string][]
}

/** Serialises a request with the current ingredients. */
export function writeRequest(
  { endpoint, accept, address, mutations }: FuzzedRequest,
  fixtures: Fixtures,
): Buffer {
  const draft = draftOf(ENDPOINTS[endpoint] as Endpoint)
  draft.headers.unshift(
    ['Host', 'localhost'],
    ['Connection', 'close'],
    ['X-Forwarded-For', address],
    ['Accept', accept],
  )
  for (const one of mutations) mutate(draft, one)
  const fill = (text: string) => fillIn(text, fixtures)
  const encode = (pairs: readonly [string, string][]) =>
    pairs.map((pair) => pair.map((part) => encodeLoosely(fill(part))).join('=')).join('&')

  const query = encode(draft.query)
  const target = fill(draft.path) + (query === '' ? '' : `?${query}`)
  const body = draft.body ?? Buffer.from(encode(draft.form ?? []))
  if (body.length > 0 || draft.method === 'POST') draft.headers.push(['Content-Length', String(body.length)])
  const lines = [
    `${draft.method} ${target} HTTP/1.1`,
    // An empty line would end the request and start another.
    ...draft.headers.map(([key, text]) => `${key}: ${fill(text).replaceAll(/(\r?\n)+/g, '$1')}`.trimEnd()),
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
}

function draftOf({ method, path, query = {}, form, cookies, authorization }: Endpoint): Draft {
  return {
    method,
    path,
    query: Object.entries(query),
    form: form && Object.entries(form),
    body: undefined,
    headers: [
      ...(form ? [['Content-Type', 'application/x-www-form-urlencoded'] as [string, string]] : []),
      ...(cookies ? [['Cookie', `{${cookies}}`] as [string, string]] : []),
      ...(authorization ? [['Authorization', authorization] as [string, string]] : []),
    ],
  }
}

function mutate(draft: Draft, one: Mutation): void {
  const parameters = draft.form ?? draft.query
  const picked = 'pick' in one && parameters.length > 0 ? one.pick % parameters.length : 0
  switch (one.kind) {
    case 'change':
      if (parameters[picked]) parameters[picked] = [parameters[picked][0], one.value]
      return
    case 'add':
      if (one.where === 'form') draft.form ??= []
      draft[one.where]?.push([one.name, one.value])
      return
    case 'drop':
      parameters.splice(picked, 1)
      return
    case 'repeat':
      if (parameters[picked]) parameters.push([parameters[picked][0], one.value])
      return
    case 'header':
      setHeader(draft, one.name, one.value)
      return
    case 'cookies':
      setHeader(draft, 'Cookie', `{${one.value}}`)
      return
    case 'cookieValue': {
      const names = [
        'session',
        'session.sig',
        'interaction',
        'resume',
        'restart',
        'remember',
        'sign_in',
        'known',
      ]
      setHeader(draft, 'Cookie', `sallyport_${names[one.pick % names.length]}=${one.value}; {session}`)
      return
    }
    case 'method':
      draft.method = one.value
      return
    case 'path':
      draft.path += one.value
      return
    case 'pathPart':
      draft.path = draft.path.replace(
        /[^/]*$/,
        encodeLoosely(one.value).replaceAll('%7B', '{').replaceAll('%7D', '}'),
      )
      return
    case 'body':
      setHeader(draft, 'Content-Type', one.type)
      draft.body = Buffer.from(one.value)
      return
    case 'bytes':
      draft.body = Buffer.concat([Buffer.from('a='), one.value])
  }
}

function setHeader(draft: Draft, name: string, value: string): void {
  const others = draft.headers.filter(([other]) => other.toLowerCase() !== name.toLowerCase())
  draft.headers = [...others, [name, value]]
}

/** Encodes a value. Existing escapes stay; half a surrogate pair becomes three bytes of invalid UTF-8. */
function encodeLoosely(text: string): string {
  return text
    .split(/(%[0-9a-f]{0,2}|\p{Surrogate})/iu)
    .map((part, index) =>
      index % 2 === 0 ? encodeURIComponent(part) : part.startsWith('%') ? part : '%ed%a0%80',
    )
    .join('')
}

function fillIn(text: string, fixtures: Fixtures): string {
  return text.replace(/\{(\w+)(:upper|:cut)?\}/g, (whole, key: string, how?: string) => {
    const found = Object.hasOwn(fixtures, key) ? fixtures[key as keyof Fixtures] : whole
    if (how === ':upper') return found.toUpperCase()
    return how === ':cut' ? found.slice(0, -1) : found
  })
}
