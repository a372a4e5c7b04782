import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const SOURCE = import.meta.dirname

/**
 * Rooms and sub-rooms from the bottom up: a file imports from its own room and from rooms that stand before it. A file
 * beside sub-rooms belongs to the room itself.
 */
const ROOMS = [
  'time',
  'log',
  'metrics',
  'clock',
  'data-folder',
  'ui/brand',
  'ui',
  'config',
  'crypto',
  'db',
  'audit',
  'store',
  'store/client',
  'store/outbox',
  'store/revocation',
  'store/account',
  'store/session',
  'store/token',
  'rate-limiting',
  'mail',
  'accounts',
  'outbound',
  'jobs',
  'outbox',
  'oidc/engine',
  'oidc/client',
  'oidc/token',
  'oidc/session',
  'oidc/device',
  'oidc/adapter',
  'oidc/compat',
  'oidc',
  'admin',
  'http/listener',
  'http/transport',
  'http/pages',
  'http/login',
  'http/account',
  'http',
  'app',
  'cli/output',
  'cli/try',
  'cli',
  'main',
]
const MOST_FILES_IN_A_ROOM = 14

/** Packages that one room alone may import values from. */
const PACKAGE_ROOMS: Record<string, string[]> = {
  'oidc-provider': ['oidc/'],
  kysely: ['db/', 'audit/', 'store/'],
  'kysely/migration': ['db/'],
  pg: ['db/'],
  '@electric-sql/pglite': ['db/'],
  argon2: ['accounts/password.ts'],
  '@zxcvbn-ts/core': ['accounts/password-strength.ts'],
  '@zxcvbn-ts/language-common': ['accounts/password-strength.ts'],
  commander: ['cli/'],
  'openid-client': ['cli/'],
  eta: ['ui/'],
  'intl-messageformat': ['ui/'],
  nodemailer: ['mail/transport.ts'],
  '@formatjs/intl-localematcher': ['ui/'],
  undici: ['outbound/'],
  'lru-cache': ['db/', 'rate-limiting/', 'accounts/', 'oidc/', 'http/'],
  'ipaddr.js': [
    'config/values.ts',
    'rate-limiting/network.ts',
    'outbound/',
    'http/transport/client-address.ts',
  ],
  bowser: ['http/'],
  uuid: ['audit/', 'store/'],
  'prom-client': ['metrics.ts'],
}

type Import = { file: string; from: string; isType: boolean }

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
)
const imports = files.flatMap(importsOf)
const internal = imports
  .filter(({ from }) => from.startsWith('.'))
  .map(({ file, from }) => ({ file, target: relative(SOURCE, resolve(SOURCE, dirname(file), from)) }))

describe('the house', () => {
  test('imports point down only, between rooms and between sub-rooms', () => {
    const upwards = internal.filter(({ file, target }) => floorOf(target) > floorOf(file))
    expect(upwards).toEqual([])
  })

  test('every file is in a room that the order names', () => {
    expect(files.filter((file) => floorOf(file) === -1)).toEqual([])
  })

  test('no room has too many files', () => {
    const sizes = Map.groupBy(files, roomOf)
    expect([...sizes].filter(([, { length }]) => length > MOST_FILES_IN_A_ROOM)).toEqual([])
  })

  test('no imports form a cycle', () => {
    expect(cycles(internal)).toEqual([])
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

/** `store/token/token.ts` is in the room `store/token`; a file of the top level is a room of its own. */
function roomOf(file: string): string {
  const folder = dirname(file)
  return folder === '.' ? file.replace(/\.ts$/, '') : folder
}

function floorOf(file: string): number {
  return ROOMS.indexOf(roomOf(file))
}

/** The files that are left when files whose imports are all resolved are removed again and again. */
function cycles(edges: readonly { file: string; target: string }[]): string[] {
  let left = edges
  for (;;) {
    const importers = new Set(left.map(({ file }) => file))
    const rest = left.filter(({ target }) => importers.has(target))
    if (rest.length === left.length) return [...importers]
    left = rest
  }
}
