import type { CleanupResult, Pace } from './result.ts'

type Load = Readonly<{
  /** Load whose figures do not count: what was just started is slow at first. */
  warmUp: () => Promise<Pace>
  run: () => Promise<Pace>
}>

type Cleaning = Readonly<{
  isDone: () => boolean
  outcome: Promise<Pick<CleanupResult, 'seconds' | 'deleted'>>
}>

/**
 * Starts a clean-up, which must begin before a server does: only one worker cleans up at a time, and a server looks
 * for something to delete some seconds after its start.
 *
 * @param cleanUp gives its report as JSON.
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
  // The load is what waits; a clean-up that fails meanwhile is told of when its outcome is asked for.
  outcome.catch(() => {})
  return { isDone: () => isDone, outcome }
}

/**
 * Runs load window by window until the clean-up beside it is done.
 *
 * @param before what the load came to without a clean-up.
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
