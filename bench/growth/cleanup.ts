import type { CleanupResult, Pace } from './result.ts'

type Load = Readonly<{
  /** Load whose figures do not count: what was just started is slow at first. */
  warmUp: () => Promise<Pace>
  run: () => Promise<Pace>
}>

/**
 * Runs load window by window until a clean-up beside it is done.
 *
 * @param cleanUp gives its report as JSON. It starts at once, before the server's own jobs look for something to delete:
 *   only one worker cleans up at a time.
 * @param before what the load came to without a clean-up.
 */
export async function measureCleanup(
  { warmUp, run }: Load,
  { cleanUp, before }: { cleanUp: () => Promise<string>; before: Pace },
): Promise<CleanupResult> {
  const startedAt = performance.now()
  let seconds: number | undefined
  const cleaning = cleanUp().finally(() => {
    seconds = (performance.now() - startedAt) / 1000
  })
  // The load is what waits; a clean-up that fails meanwhile is told of below.
  cleaning.catch(() => {})
  const first = await warmUp()
  const beside: Pace[] = []
  while (seconds === undefined) beside.push(await run())
  const deleted = JSON.parse(await cleaning) as Record<string, number>
  // The last window outlasted the clean-up; a short clean-up has no other.
  return {
    before,
    beside: beside.length > 1 ? beside.slice(0, -1) : [...beside, first].slice(0, 1),
    seconds,
    deleted,
  }
}
