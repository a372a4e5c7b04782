import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { FaultProxy } from './support/fault-proxy.ts'

// Other tests rely on the fault proxy: these check that each fault has its stated effect on both sides.
describe('the fault proxy between a server and Postgres', () => {
  let faultProxy: FaultProxy
  let url: string
  let witness: pg.Client
  let client: pg.Client

  beforeAll(async () => {
    const to = new URL('/postgres', inject('postgresUrl'))
    witness = await connected(to.href)
    await witness.query('create table mark (text text)')
    faultProxy = new FaultProxy({ host: to.hostname, port: Number(to.port) })
    to.port = String(await faultProxy.open())
    url = to.href
  })
  afterAll(async () => {
    await witness.query('drop table mark')
    await witness.end()
    faultProxy.close()
  })
  beforeEach(async () => {
    await witness.query('truncate mark')
    client = await connected(url)
  })
  afterEach(() => client.end())

  async function connected(to: string): Promise<pg.Client> {
    const opened = new pg.Client(to)
    opened.on('error', () => {})
    await opened.connect()
    return opened
  }

  const marks = async () => (await witness.query<{ text: string }>('select text from mark')).rows
  const insert = (text: string, name?: string) =>
    client.query({ ...(name ? { name } : {}), text: 'insert into mark values ($1)', values: [text] })

  test('counts statements, and knows the text of prepared ones', async () => {
    const before = faultProxy.count
    const texts = await faultProxy.watch(async () => {
      await client.query('select 1 as one')
      await insert('a', 'prepared')
      await insert('b', 'prepared')
    })
    expect(texts).toEqual(['select 1 as one', 'insert into mark values ($1)', 'insert into mark values ($1)'])
    expect(faultProxy.count - before).toBe(3)
  })

  test.for([undefined, 'prepared'])(
    'injects an error before a statement, which is not executed, or after it (%s)',
    async (name) => {
      faultProxy.onStatement('before', { kind: 'error', sqlState: '40001' }, { nth: 2 })
      await insert('a', name)
      await expect(insert('b', name)).rejects.toMatchObject({ code: '40001' })
      faultProxy.onStatement('after', { kind: 'error', sqlState: '53100' })
      await expect(insert('c', name)).rejects.toMatchObject({ code: '53100' })
      await insert('d', name)
      expect(await marks()).toEqual([{ text: 'a' }, { text: 'c' }, { text: 'd' }])
    },
  )

  test.for(['before', 'after'] as const)(
    'rolls a transaction back after an error %s a statement, even when the server commits',
    async (point) => {
      await client.query('begin')
      faultProxy.onStatement(point, { kind: 'error', sqlState: '40P01' })
      await expect(insert('a')).rejects.toMatchObject({ code: '40P01' })
      await expect(insert('b')).rejects.toMatchObject({ code: '25P02' })
      expect((await client.query('commit')).command).toBe('ROLLBACK')
      await insert('c')
      expect(await marks()).toEqual([{ text: 'c' }])
    },
  )

  test('leaves no transaction after an error in begin, and the commit after an error behind it', async () => {
    faultProxy.onStatement('after', { kind: 'error', sqlState: '57014' }, {}, ({ text }) => text === 'begin')
    await expect(client.query('begin')).rejects.toMatchObject({ code: '57014' })
    await insert('a')
    await client.query('begin')
    await insert('b')
    faultProxy.onStatement('after', { kind: 'error', sqlState: '40001' })
    await expect(client.query('commit')).rejects.toMatchObject({ code: '40001' })
    await client.query('begin')
    await insert('c')
    faultProxy.onStatement('before', { kind: 'error', sqlState: '40001' })
    await expect(client.query('commit')).rejects.toMatchObject({ code: '40001' })
    await insert('d')
    expect(await marks()).toEqual([{ text: 'a' }, { text: 'b' }, { text: 'd' }])
  })

  test.for([
    ['before', []],
    ['after', [{ text: 'a' }]],
  ] as const)('injects a termination and a lost connection %s a statement', async ([point, left]) => {
    const ended = new Promise((done) => client.once('end', () => done(undefined)))
    faultProxy.onStatement(point, { kind: 'error', sqlState: '57P01' })
    await expect(insert('a')).rejects.toMatchObject({ code: '57P01' })
    await ended
    expect(await marks()).toEqual(left)

    await witness.query('truncate mark')
    client = await connected(url)
    faultProxy.onStatement(point, { kind: 'drop' })
    await expect(insert('a')).rejects.toThrow('Connection terminated')
    expect(await marks()).toEqual(left)
    client = await connected(url)
  })

  test('drops all packets as a black hole, and afterwards forwards only new connections', async () => {
    faultProxy.blackhole()
    const lost = client.query('select 1')
    lost.catch(() => {})
    const isSilent = new Promise((done) => setTimeout(done, 200, 'silent'))
    expect(await Promise.race([lost, isSilent])).toBe('silent')
    faultProxy.restore()
    const fresh = await connected(url)
    expect((await fresh.query('select 2 as two')).rows).toEqual([{ two: 2 }])
    await fresh.end()
    const stillSilent = new Promise((done) => setTimeout(done, 100, 'silent'))
    expect(await Promise.race([lost, stillSilent])).toBe('silent')
    faultProxy.block()
    faultProxy.unblock()
    client = await connected(url)
  })
})
