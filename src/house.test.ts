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
  'loopback',
  'log',
  'metrics',
  'database-clock',
  'data-folder',
  'ui/brand',
  'ui',
  'config',
  'crypto',
  'db',
  'audit',
  'store/client',
  'store/outbox',
  'store/revocation',
  'store/account',
  'store/session',
  'store/token',
  'store',
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
const MOST_NEEDS = 10

/** Packages that one room alone may import values from. */
const PACKAGE_ROOMS: Record<string, string[]> = {
  'oidc-provider': ['oidc/'],
  kysely: ['db/', 'audit/', 'store/'],
  'kysely/migration': ['db/'],
  pg: ['db/'],
  '@electric-sql/pglite': ['db/'],
  argon2: ['accounts/password.ts'],
  'p-limit': ['accounts/password.ts'],
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

  test('imports use the public entry of a package', () => {
    const inside = imports.filter(({ from }) => /^(@[^/]+\/)?[^/.@]+\/(lib|dist|src)\//.test(from))
    expect(inside).toEqual([])
  })

  test('one function inserts into the audit table', () => {
    const inserts = files.flatMap((file) =>
      [...textOf(file).matchAll(/insert into event\b|insertInto\('event'\)/g)].map(() => file),
    )
    expect(inserts).toEqual(['audit/event.ts'])
  })

  test('only the composition root and the command line see the whole configuration', () => {
    const readers = files.filter((file) =>
      /^import [^'"]*\bConfig\b[^'"]*from '[./]*config\/config\.ts'/m.test(textOf(file)),
    )
    expect(readers.filter((file) => !/^(app|cli)\//.test(file))).toEqual([])
  })

  test('calls name what they pass: no spread of a bag', () => {
    const spreads = files.flatMap((file) =>
      [...textOf(file).matchAll(/\.\.\.(config|stores|views|needs|installation)\b(?!\.)/g)].map(
        ([spread]) => `${file}: ${spread}`,
      ),
    )
    expect(spreads).toEqual([])
  })

  test('no dependency bag has more than ten members', () => {
    const bags = files.flatMap((file) =>
      needsIn(textOf(file)).map(({ name, members }) => ({ bag: `${file}: ${name}`, members })),
    )
    expect(bags.length).toBeGreaterThan(40)
    expect(bags.filter(({ members }) => members > MOST_NEEDS)).toEqual([])
  })

  test('only the process edge reads the environment', () => {
    const readers = files.filter((file) => /process\.env|\benv\b.*= process\b/.test(textOf(file)))
    expect(readers).toEqual(['main.ts'])
  })
})

function textOf(file: string): string {
  return readFileSync(join(SOURCE, file), 'utf8')
}

/** The types named `Needs`, and the types of destructured parameters of `create…` functions, as this code is formatted. */
function needsIn(text: string): { name: string; members: number }[] {
  const types = text.matchAll(/^(?:export )?type (\w*Needs)\b[^\n]*\{(.*?)\}\n\n/gms)
  const parameters = text.matchAll(/^export (?:async )?function (create\w+)\(\{.*?^\}: \{(.*?)^\}\)/gms)
  return [...types, ...parameters].map(([, name = '', body = '']) => ({
    name,
    members: body.includes('\n') ? (body.match(/^ {2}\w+\??:/gm)?.length ?? 0) : body.split(';').length,
  }))
}

function importsOf(file: string): Import[] {
  return [...textOf(file).matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'/gm)].map(
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
