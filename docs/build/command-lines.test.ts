import { describe, expect, test } from 'vitest'
import { commandLineFaults } from './command-lines.ts'
import { readPages } from './markdown.ts'

const pageOf = (text: string) => ({ path: 'docs/x.md', text })
const inShell = (line: string) => commandLineFaults(pageOf(`\`\`\`sh\n${line}\n\`\`\`\n`))

test('names only commands and options that exist, on every page', () => {
  const faults = readPages().flatMap((page) =>
    commandLineFaults(page).map((fault) => `${page.path}: ${fault}`),
  )
  expect(faults).toEqual([])
})

describe('the check', () => {
  test.for([
    ['npx sallyport keys rotate', 'there is no command rotate'],
    ['npx sallyport clients list --yaml', 'there is no option --yaml'],
    ['npx sallyport clients show', 'takes 1 arguments, not 0'],
    ['npx sallyport clients create --name Harbour', '--type is missing'],
    ['docker compose exec server sallyport serve now', 'takes 0 arguments, not 1'],
    ['npm run bench -- growth --people 5', 'there is no option --people'],
  ])('rejects %s', ([line = '', fault]) => {
    expect(inShell(line)[0]).toContain(fault)
  })

  test.for([
    'npx sallyport users sign-out ada --yes',
    'npx sallyport events follow --anomalies --json | your-alerting',
    'createdb --owner=sallyport sallyport',
  ])('accepts %s', (line) => {
    expect(inShell(line)).toEqual([])
  })

  test('lets a mention leave arguments out', () => {
    expect(commandLineFaults(pageOf('See `sallyport clients show` and `sallyport clients`.'))).toEqual([])
    expect(commandLineFaults(pageOf('See `sallyport clients shoe`.'))).toHaveLength(1)
  })
})
