import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openEmbeddedPostgres } from '../db/connections.ts'
import { migrate } from '../db/migrate.ts'
import { newEvent } from './event.ts'
import { createEventStore } from './event-store.ts'

let database: Database
beforeAll(async () => {
  database = openEmbeddedPostgres(undefined)
  await migrate(database)
}, 60_000)
afterAll(() => database?.destroy())

test('records one event object once, however often', async () => {
  const events = createEventStore(database, () => new Date())
  const event = newEvent('key.created', { clientId: 'once', detail: { kid: 'a' } })
  await events.record([event, event])
  await events.record([event])
  const listed = await events.list({ clientId: 'once', limit: 10 })
  expect(listed).toEqual([
    expect.objectContaining({
      type: 'key.created',
      clientId: 'once',
      detail: { kid: 'a' },
      username: undefined,
    }),
  ])
})

test('orders events by the time of their creation on its clock', async () => {
  const at = new Date('2031-01-01T00:00:00Z')
  const events = createEventStore(database, () => at)
  const first = newEvent('account.disabled', { clientId: 'order' })
  const second = newEvent('session.ended', { clientId: 'order' })
  await events.record([{ ...second, monotonicMilliseconds: first.monotonicMilliseconds + 5 }])
  await events.record([first])
  const filter = {
    clientId: 'order',
    since: new Date(at.getTime() - 60_000),
    until: new Date(at.getTime() + 60_000),
  }
  const types = (await events.list({ ...filter, limit: 10 })).map(({ type }) => type)
  expect(types).toEqual(['account.disabled', 'session.ended'])
})

test('dates events correctly after the clock was set back', async () => {
  let at = new Date('2032-01-01T00:00:00Z')
  const events = createEventStore(database, () => at)
  await events.record([newEvent('key.created', { clientId: 'back' })])
  at = new Date('2030-01-01T00:00:00Z')
  await events.record([newEvent('client.created', { clientId: 'back' })])
  const until = new Date('2030-06-01T00:00:00Z')
  const listed = await events.list({ clientId: 'back', until, limit: 10 })
  expect(listed.map(({ type }) => type)).toEqual(['client.created'])
})
