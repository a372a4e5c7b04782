import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Cleanup, CleanupReport } from './cleanup.ts'
import type { Job } from './scheduler.ts'

const CLEANUP_SECONDS = 60
const FORGET_ANSWERS_SECONDS = 5

/** What every server does beside answering: it keeps the tables small, and says how small they are. */
export function maintenanceJobs({
  cleanup,
  metrics,
  log,
}: {
  cleanup: Cleanup
  metrics: Metrics
  log: Log
}): Job[] {
  return [
    {
      name: 'cleanup',
      everySeconds: CLEANUP_SECONDS,
      async run(signal) {
        const deleted = await cleanup.run(signal)
        if (deleted) {
          forEachTable(deleted, (table, rows) => metrics.cleanupDeletedRows.inc({ table }, rows))
          if (Object.values(deleted).some((rows) => rows > 0)) log.info({ event: 'cleanup', ...deleted })
        }
        const backlog = await cleanup.count()
        forEachTable(backlog.rows, (table, rows) => metrics.cleanupBacklogRows.set({ table }, rows))
      },
    },
    { name: 'forget refresh answers', everySeconds: FORGET_ANSWERS_SECONDS, run: cleanup.forgetAnswers },
  ]
}

function forEachTable(report: CleanupReport, tell: (table: string, rows: number) => void): void {
  for (const [table, rows] of Object.entries(report)) tell(table, rows)
}
