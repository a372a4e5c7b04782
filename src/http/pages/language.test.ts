import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import Koa from 'koa'
import { expect, test } from 'vitest'
import type { PageContext } from '../../ui/view-models.ts'
import { preferredLanguages } from './language.ts'

function requestWith(headers: Record<string, string>, query = ''): PageContext {
  const request = Object.assign(new IncomingMessage(new Socket()), { url: `/${query}`, headers })
  return new Koa().createContext(request, new ServerResponse(request)) as unknown as PageContext
}

test.each([
  ['fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5', ['fr-CH', 'fr', 'en', '*']],
  ['en;q=0.2,de;q=0.7', ['de', 'en']],
  ['de;q=0, en', ['en']],
  ['de;q=x, en;q=1', ['en']],
  ['', []],
])('sorts Accept-Language %j by quality (RFC 9110 §12.5.4)', (header, expected) => {
  expect(preferredLanguages(requestWith({ 'accept-language': header }))).toEqual(expected)
})

test('puts ui_locales before Accept-Language (OIDC Core §3.1.2.1)', () => {
  const ctx = requestWith({ 'accept-language': 'ja' }, '?ui_locales=fr-CA%20fr%20en')
  expect(preferredLanguages(ctx)).toEqual(['fr-CA', 'fr', 'en', 'ja'])
})

test('ignores a repeated ui_locales', () => {
  expect(
    preferredLanguages(requestWith({ 'accept-language': 'ja' }, '?ui_locales=de&ui_locales=fr')),
  ).toEqual(['ja'])
})
