import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Cleanup, CleanupReport } from './cleanup.ts'
import type { Job } from './scheduler.ts'

const CLEANUP_SECONDS = 60
const DELETE_ANSWERS_SECONDS = 5

type Needs = { cleanup: Cleanup; metrics: Metrics; log: Log }

/** The jobs of clean-up, which also record its metrics. */
export function cleanupJobs({ cleanup, metrics, log }: Needs): Job[] {
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
    { name: 'delete refresh answers', everySeconds: DELETE_ANSWERS_SECONDS, run: cleanup.deleteAnswers },
  ]
}

function forEachTable(report: CleanupReport, record: (table: string, rows: number) => void): void {
  for (const [table, rows] of Object.entries(report)) record(table, rows)
}
