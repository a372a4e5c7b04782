import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLog } from '../log.ts'
import { answerErrors } from './errors.ts'
import { setSecurityHeaders } from './transport/headers.ts'

let server: Server

beforeAll(async () => {
  const app = new Koa()
  app.use(setSecurityHeaders({ issuer: 'https://login.example.test' }))
  const renderError = () => {
    throw new Error('it.titel is not a function')
  }
  app.use(answerErrors({ renderError, log: createLog({ level: 'silent', format: 'json' }) }))
  app.use(() => {
    throw new Error('select * from account')
  })
  server = createServer(app.callback())
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterAll(() => new Promise((done) => server.close(done)))

test('returns JSON with all headers and no detail when the error page fails (ASVS 16.5.1)', async () => {
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { accept: 'text/html' } })
  expect(answer.status).toBe(500)
  expect(await answer.json()).toEqual({ error: 'server_error' })
  expect(answer.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
  expect(answer.headers.get('strict-transport-security')).toContain('max-age=')
})
