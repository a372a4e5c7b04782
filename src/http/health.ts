import Router from '@koa/router'
import Koa from 'koa'
import type { Metrics } from '../metrics.ts'

/** Each check is true when it passed. Warnings are for operators and do not affect readiness. */
type Readiness = () => Promise<{
  ready: boolean
  checks: Record<string, boolean>
  warnings: readonly string[]
  /** Values that explain a failed check. */
  details: Record<string, unknown>
}>

type Needs = { readiness: Readiness; metrics: Pick<Metrics, 'contentType' | 'render'> }

/** Answers the management port: liveness, readiness and metrics, for the orchestrator only. */
export function createHealthApp({ readiness, metrics }: Needs): Koa {
  const router = new Router()
  // Liveness is that the process answers: a restart does not help against an unavailable database.
  router.get('/health/live', (ctx) => {
    ctx.body = { status: 'ok' }
  })
  router.get('/health/ready', async (ctx) => {
    const { ready, checks, warnings, details } = await readiness()
    ctx.status = ready ? 200 : 503
    ctx.body = { status: ready ? 'ok' : 'unavailable', checks, warnings, details }
  })
  router.get('/metrics', async (ctx) => {
    ctx.type = metrics.contentType
    ctx.body = await metrics.render()
  })
  const app = new Koa()
  app.use(async (ctx, next) => {
    ctx.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' })
    await next()
  })
  app.use(router.routes())
  return app
}
