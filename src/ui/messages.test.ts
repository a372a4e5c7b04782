import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openInteractionFiles } from './files.ts'
import { loadMessages } from './messages.ts'
import { compileTemplates } from './templates.ts'

/** Loads messages and templates with these files of an operator, and collects warnings. */
function load(overrides: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'interactions-'))
  for (const [path, content] of Object.entries(overrides)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  const warnings: unknown[] = []
  const files = openInteractionFiles(folder)
  const messages = loadMessages(files, { log: { warn: (line: unknown) => warnings.push(line) } })
  return { files, messages, templates: compileTemplates(files, messages), warnings }
}

const locale = (messages: Record<string, string>) => JSON.stringify(messages)

describe('our own messages', () => {
  const { files, messages, warnings } = load()

  test('are complete in five languages', () => {
    expect([...messages.languages].sort()).toEqual(['de', 'en', 'es', 'fr', 'ja'])
    expect(warnings).toEqual([])
  })

  test('are all used', () => {
    const sources = [
      ...files.list('.eta').map((path) => files.read(path).toString('utf8')),
      files.read('page.js').toString('utf8'),
      // A mail's subject is the message of its name.
      ...files.list('.eta').map((path) => `'${path.replace('/', '.').replace(/\.eta$/, '.subject')}'`),
    ].join('\n')
    const prefixes = [...sources.matchAll(/`([a-z][\w.-]*\.)\$\{/g)].map(([, prefix = '']) => prefix)
    const english: Record<string, string> = JSON.parse(files.read('locales/en.json').toString('utf8'))
    const unused = Object.keys(english).filter(
      (key) => !sources.includes(`'${key}'`) && !prefixes.some((prefix) => key.startsWith(prefix)),
    )
    expect(unused).toEqual([])
  })

  test('have the same arguments in every language', () => {
    const placesIn = (language: string) => {
      const all: Record<string, string> = JSON.parse(files.read(`locales/${language}.json`).toString('utf8'))
      return Object.fromEntries(
        Object.entries(all).map(([key, message]) => [
          key,
          [...new Set(message.match(/\{\w+(?=[,}])|<\/?\w+>/g))].sort().join(' '),
        ]),
      )
    }
    for (const language of messages.languages) expect(placesIn(language), language).toEqual(placesIn('en'))
  })

  const messagesIn = (language: string) =>
    Object.entries<string>(JSON.parse(files.read(`locales/${language}.json`).toString('utf8')))

  test('have no-break spaces at French punctuation', () => {
    const marks = messagesIn('fr').flatMap(([key, message]) =>
      [...message.matchAll(/.[:;?!»]|«./g)].map(([mark]) => ({ key, mark })),
    )
    expect(marks.length).toBeGreaterThan(30)
    expect(marks.filter(({ mark }) => !/[\u00a0\u202f]/.test(mark))).toEqual([])
  })

  test.each(['en', 'de', 'fr'])('have no-break hyphens in headings with e‑mail (%s)', (language) => {
    const headings = messagesIn(language).filter(([key]) => /^(email-|self-service-done).*\.title$/.test(key))
    expect(headings).not.toEqual([])
    expect(headings.filter(([, heading]) => /\be-mail/i.test(heading))).toEqual([])
  })

  test('use one word for signing in in Japanese', () => {
    expect(messagesIn('ja').filter(([, message]) => /サイン(イン|アウト)/.test(message))).toEqual([])
  })
})

describe('the messages for a reader', () => {
  const { messages } = load()

  test.each([
    [['de-AT'], 'de'],
    [['nl', 'fr'], 'fr'],
    [['en-GB', 'de'], 'en'],
    [['zh-Hant', 'ja'], 'ja'],
    [['fr-CA', 'de'], 'fr'],
    [['tlh', 'de'], 'de'],
    [['de-u-ca-buddhist'], 'de'],
    [['tlh'], 'en'],
    [['*'], 'en'],
    [[], 'en'],
    [['<script>', '../../etc/passwd', '', 'de'], 'de'],
    [['x'.repeat(600), 'de'], 'de'],
    [[...Array<string>(20).fill('tlh'), 'de'], 'en'],
  ])('that prefers %j are in %s', (preferred, lang) => {
    expect(messages.for(preferred).lang).toBe(lang)
  })

  test('escape and isolate arguments, and render <b> as <strong>', () => {
    const { html } = messages.for(['en'])
    expect(html('login.toContinue', { app: '<i>"A" & B</i>' })).toBe(
      'to continue to <strong><bdi>&#60;i&#62;&#34;A&#34; &#38; B&#60;/i&#62;</bdi></strong>',
    )
  })

  test('render <link> with a URL as a link, and without one as text', () => {
    const { html } = messages.for(['en'])
    const values = { app: 'A', host: 'a.example' }
    expect(html('consent.runBy', { ...values, link: 'https://a.example/?a=1&b="' })).toContain(
      '<a href="https://a.example/?a=1&#38;b=&#34;" rel="noreferrer"><bdi>a.example</bdi></a>',
    )
    expect(html('consent.runBy', { ...values, link: undefined })).toBe(
      '<bdi>A</bdi> is run by <bdi>a.example</bdi>.',
    )
  })

  test('have no markup as text', () => {
    expect(messages.for(['en']).t('login.toContinue', { app: 'A & B' })).toBe('to continue to A & B')
  })

  test.each([
    ['en', '3 Nov 2026, 09:12 UTC'],
    ['de', '3. Nov. 2026, 09:12 UTC'],
    ['fr', '3 nov. 2026, 09:12 UTC'],
    ['es', '3 nov 2026, 09:12 UTC'],
    ['ja', '2026年11月3日 09:12 UTC'],
  ])('in %s an instant reads %s', (language, expected) => {
    const at = new Date(Date.UTC(2026, 10, 3, 9, 12, 34))
    expect(messages.for([language]).time(at)).toBe(
      `<time datetime="2026-11-03T09:12:34.000Z">${expected}</time>`,
    )
  })

  test('throw for an unknown message', () => {
    expect(() => messages.for(['en']).t('login.nothing')).toThrow('login.nothing')
    expect(() => messages.for(['en']).t('constructor')).toThrow('constructor')
  })
})

describe('an operator', () => {
  test('replaces one message and keeps the others', () => {
    const { messages } = load({ 'locales/de.json': locale({ 'login.title': 'Willkommen' }) })
    const german = messages.for(['de'])
    expect(german.t('login.title')).toBe('Willkommen')
    expect(german.t('login.submit')).toBe('Anmelden')
  })

  test('adds a language, with English and a warning for missing messages', () => {
    const { messages, warnings } = load({ 'locales/ar.json': locale({ 'login.title': 'تسجيل الدخول' }) })
    const arabic = messages.for(['ar-EG'])
    expect(arabic).toMatchObject({ lang: 'ar', dir: 'rtl' })
    expect(arabic.t('login.title')).toBe('تسجيل الدخول')
    expect(arabic.t('login.submit')).toBe('Sign in')
    expect(warnings).toEqual([
      expect.objectContaining({
        event: 'messages.missing',
        language: 'ar',
        keys: expect.arrayContaining(['login.submit']),
      }),
    ])
  })

  test('is warned of an unknown message', () => {
    const { warnings } = load({ 'locales/de.json': locale({ 'login.titel': 'Anmelden' }) })
    expect(warnings).toEqual([{ event: 'messages.unknown', language: 'de', keys: ['login.titel'] }])
  })

  test('replaces a template, with new messages', () => {
    const { templates } = load({
      'device-denied.eta': "<%= it.t('house.no') %>",
      'locales/en.json': locale({ 'house.no': 'No.' }),
    })
    expect(templates.render('device-denied', { t: (key: string) => key })).toBe('house.no')
  })

  test.each([
    [
      'a message that is not ICU',
      { 'locales/de.json': locale({ 'login.title': '{' }) },
      'de.json: login.title',
    ],
    ['a locale that is no JSON', { 'locales/de.json': '{' }, 'locales/de.json'],
    ['a locale that is not flat', { 'locales/de.json': '{"login":{}}' }, 'flat'],
    ['a template with a tag left open', { 'login.eta': '<% if (' }, 'login.eta'],
    ['a template that is no JavaScript', { 'login.eta': '<% if ( %>' }, 'login.eta'],
    ['a template with a message that does not exist', { 'login.eta': "<%= it.t('login.x') %>" }, 'login.x'],
  ])('learns at start of %s', (_, overrides, words) => {
    expect(() => load(overrides)).toThrow(words)
  })
})
