/**
 * Room jobs/: work in the background. The scheduler repeats jobs; the other files are jobs that clean up, watch the clock
 * and record the heartbeat.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../log.ts'

/** A bounded step of work that is repeated. */
export type Job = Readonly<{
  name: string
  everySeconds: number
  /** Stops between its steps when the signal is aborted. */
  run: (signal: AbortSignal) => Promise<unknown>
}>

/** The part of a pause before the first run, so that a server that often restarts runs its jobs too. */
const FIRST_PAUSE_PART = 0.1

/**
 * Runs jobs in the background, each with its own pause. Jitter keeps instances that started together apart. A failure is
 * logged, and the job runs again after the next pause.
 */
export function startJobs(jobs: readonly Job[], { log }: { log: Log }): { stop: () => Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping

  async function repeat({ name, everySeconds, run }: Job): Promise<void> {
    for (let pauseSeconds = everySeconds * FIRST_PAUSE_PART; ; pauseSeconds = everySeconds) {
      const jitter = 0.75 + Math.random() / 2
      await pause(pauseSeconds * 1000 * jitter, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      try {
        await run(signal)
      } catch (error) {
        log.warn({ event: 'job.failed', job: name, error: error instanceof Error ? error.message : error })
      }
    }
  }
  const running = jobs.map(repeat)

  return {
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
  }
}
