import type { CleanupResult, Pace } from './result.ts'

type Load = Readonly<{
  /** Load before the measurement: a new server is slow at first. */
  warmUp: () => Promise<Pace>
  run: () => Promise<Pace>
}>

type Cleaning = Readonly<{
  isDone: () => boolean
  outcome: Promise<Pick<CleanupResult, 'seconds' | 'deleted'>>
}>

/**
 * Starts a clean-up. It must start before a server: only one worker cleans up at a time, and a server cleans up soon
 * after its start.
 *
 * @param cleanUp returns its report as JSON.
 */
export function startCleaning(cleanUp: () => Promise<string>): Cleaning {
  let isDone = false
  const startedAt = performance.now()
  const outcome = cleanUp()
    .then((report) => ({
      seconds: (performance.now() - startedAt) / 1000,
      deleted: JSON.parse(report) as Record<string, number>,
    }))
    .finally(() => {
      isDone = true
    })
  // Avoids an unhandled rejection while the load runs; the caller awaits the outcome later.
  outcome.catch(() => {})
  return { isDone: () => isDone, outcome }
}

/**
 * Runs load window by window until the concurrent clean-up is done.
 *
 * @param before the load's result without a clean-up.
 */
export async function measureCleanup(
  { warmUp, run }: Load,
  { cleaning, before }: { cleaning: Cleaning; before: Pace },
): Promise<CleanupResult> {
  const first = await warmUp()
  const windows: Pace[] = []
  while (!cleaning.isDone()) windows.push(await run())
  // The last window outlasted the clean-up; a short clean-up has no other.
  const beside = windows.length > 1 ? windows.slice(0, -1) : [...windows, first].slice(0, 1)
  return { before, beside, ...(await cleaning.outcome) }
}
