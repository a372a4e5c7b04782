import type Koa from 'koa'
import { createServableCheck } from '../db/schema-compatibility.ts'
import { createHealthApp } from '../http/health.ts'
import type { ProxyNotices } from '../http/transport/proxy-notices.ts'
import type { ClockWatch } from '../jobs/clock-watch.ts'
import type { Installation } from './installation.ts'

type Needs = { clockWatch: ClockWatch; proxyNotices: ProxyNotices; isAccepting: () => boolean }

/** The private listener: liveness, readiness with its checks and warnings, and metrics. */
export function buildHealthApp(installation: Installation, needs: Needs): Koa {
  const { clock, database, jwks, metrics } = installation
  const { clockWatch, proxyNotices, isAccepting } = needs
  // A newer version may migrate the schema while this one runs.
  const isServable = createServableCheck(database)
  return createHealthApp({
    metrics,
    async readiness() {
      await clockWatch.settle()
      // Undefined: the database does not answer.
      const isServed = await isServable().catch(() => undefined)
      const checks = {
        database: isServed !== undefined,
        migrations: isServed !== false,
        keys: jwks.keys.length > 0,
        accepting: isAccepting(),
        clock: clockWatch.isInSync(),
      }
      return {
        ready: Object.values(checks).every(Boolean),
        checks,
        warnings: [...proxyNotices.list(), ...clockWatch.warnings()],
        details: { clock_ahead_seconds: clock.distanceSeconds() },
      }
    },
  })
}
