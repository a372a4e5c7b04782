import Router from '@koa/router'
import Koa from 'koa'

/** What readiness looks at; each check says whether it is well. */
export type Readiness = () => Promise<{ ready: boolean; checks: Record<string, boolean> }>

/** The private listener: for the orchestrator, never for the public. */
export function createHealthApp({ readiness }: { readiness: Readiness }): Koa {
  const router = new Router({ prefix: '/health' })
  // Alive means: the process answers. A database that is away is no reason to restart it.
  router.get('/live', (ctx) => {
    ctx.body = { status: 'ok' }
  })
  router.get('/ready', async (ctx) => {
    const { ready, checks } = await readiness()
    ctx.status = ready ? 200 : 503
    ctx.body = { status: ready ? 'ok' : 'unavailable', checks }
  })
  const app = new Koa()
  app.use(async (ctx, next) => {
    ctx.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' })
    await next()
  })
  app.use(router.routes())
  return app
}
