import { pino } from 'pino'
import { expect, test } from 'vitest'
import { openInteractionFiles } from '../ui/files.ts'
import { loadMessages } from '../ui/messages.ts'
import { compileTemplates } from '../ui/templates.ts'
import { createMailRenderer } from './render.ts'

const files = openInteractionFiles(undefined)
const messages = loadMessages(files, { log: pino({ level: 'silent' }) })

test('renders the operator’s name and colours, in light and dark mode', () => {
  const render = createMailRenderer({
    brand: { name: 'Harbour & Sons', accents: { light: '#0b7a4b', dark: '#86d9ac' } },
    issuer: 'https://login.harbour.example',
    messages,
    templates: compileTemplates(files, messages),
  })
  const { text, html } = render({
    kind: 'reset',
    to: 'ada@example.test',
    language: 'en',
    values: { username: 'ada', link: '/account/link/secret' },
  })
  expect(text).toContain('at Harbour & Sons')
  expect(html).toContain('<bdi>Harbour &amp; Sons</bdi>')
  expect(html).toMatch(
    /\.button \{ background: #0b7a4b; color: #ffffff \}\n@media \(prefers-color-scheme: dark\) \{ \.button \{ background: #86d9ac; color: #000000 \}/,
  )
})
