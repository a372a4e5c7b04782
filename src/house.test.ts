import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const SOURCE = import.meta.dirname

/** Rooms from the bottom up: a file imports from its own room and from rooms before it. */
const ROOMS = [
  'time',
  'clock',
  'brand',
  'settings',
  'near-miss',
  'config',
  'log',
  'metrics',
  'vault',
  'interactions',
  'store',
  'mail',
  'accounts',
  'oidc',
  'jobs',
  'admin',
  'http',
  'master-key',
  'installation',
  'server',
  'demo',
  'cli',
  'main',
]

/** Packages that one room alone may import values from. */
const PACKAGE_ROOMS: Record<string, string[]> = {
  'oidc-provider': ['oidc/'],
  kysely: ['store/'],
  'kysely/migration': ['store/'],
  pg: ['store/'],
  '@electric-sql/pglite': ['store/'],
  argon2: ['accounts/password.ts'],
  '@zxcvbn-ts/core': ['accounts/guessing.ts'],
  '@zxcvbn-ts/language-common': ['accounts/guessing.ts'],
  commander: ['cli/'],
  'openid-client': ['cli/'],
  eta: ['interactions/'],
  'intl-messageformat': ['interactions/'],
  nodemailer: ['mail/transport.ts'],
  '@formatjs/intl-localematcher': ['interactions/'],
  undici: ['oidc/'],
  'lru-cache': ['store/', 'accounts/', 'oidc/', 'http/'],
  'ipaddr.js': ['accounts/network.ts', 'http/transport/client-address.ts'],
  bowser: ['http/'],
  uuid: ['store/'],
  'prom-client': ['metrics.ts'],
}

type Import = { file: string; from: string; isType: boolean }

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
)
const imports = files.flatMap(importsOf)

describe('the house', () => {
  test('imports point down only', () => {
    const upwards = imports.filter(({ file, from, isType }) => {
      if (!from.startsWith('.')) return false
      const target = roomOf(relative(SOURCE, resolve(SOURCE, dirname(file), from)))
      // Types of a setting may be named anywhere; only the edges read the settings themselves.
      return ROOMS.indexOf(target) > ROOMS.indexOf(roomOf(file)) && !(isType && target === 'config')
    })
    expect(upwards).toEqual([])
  })

  test('every file is in a room that the order names', () => {
    expect(files.filter((file) => !ROOMS.includes(roomOf(file)))).toEqual([])
  })

  test('a package is imported by its room alone', () => {
    const elsewhere = imports.filter(({ file, from, isType }) => {
      const rooms = PACKAGE_ROOMS[from]
      return rooms && !isType && !rooms.some((room) => file.startsWith(room))
    })
    expect(elsewhere).toEqual([])
  })

  test('no import leads into a package', () => {
    const inside = imports.filter(({ from }) => /^(@[^/]+\/)?[^/.@]+\/(lib|dist|src)\//.test(from))
    expect(inside).toEqual([])
  })

  test('only the process edge reads the environment', () => {
    const readers = files.filter((file) =>
      /process\.env|\benv\b.*= process\b/.test(readFileSync(join(SOURCE, file), 'utf8')),
    )
    expect(readers).toEqual(['main.ts'])
  })
})

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SOURCE, file), 'utf8')
  return [...text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'/gm)].map(
    ([, type, from = '']) => ({
      file,
      from,
      isType: type !== undefined,
    }),
  )
}

function roomOf(file: string): string {
  const [first = ''] = file.split('/')
  return first.replace(/\.ts$/, '')
}
