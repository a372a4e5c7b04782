import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../log.ts'

/** A bounded step of work, done again and again. */
export type Job = Readonly<{
  name: string
  everySeconds: number
  /** Stops early, between its steps, when the signal says so. */
  run: (signal: AbortSignal) => Promise<unknown>
}>

/** The first pause is this part of the others: a server that is restarted often does its jobs, too. */
const FIRST_PART = 0.1

/**
 * Runs jobs in the background, each after its own pause (spread, so that instances started together do not act
 * together). One that fails is logged and tried again after the next pause.
 */
export function startJobs(jobs: readonly Job[], { log }: { log: Log }): { stop: () => Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping

  async function repeat({ name, everySeconds, run }: Job): Promise<void> {
    for (let pauseSeconds = everySeconds * FIRST_PART; ; pauseSeconds = everySeconds) {
      const spread = 0.75 + Math.random() / 2
      await pause(pauseSeconds * 1000 * spread, undefined, { signal, ref: false }).catch(() => {})
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
