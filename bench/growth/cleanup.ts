import type { CleanupResult, Pace } from './result.ts'

/** Runs load alone, then load beside a clean-up until that is done, window by window. */
export async function measureCleanup({
  run,
  cleanUp,
}: {
  run: () => Promise<Pace>
  /** @returns the report of the clean-up as JSON. */
  cleanUp: () => Promise<string>
}): Promise<CleanupResult> {
  const before = await run()
  const startedAt = performance.now()
  let seconds: number | undefined
  const cleaning = cleanUp().finally(() => {
    seconds = (performance.now() - startedAt) / 1000
  })
  // The load is what waits; a clean-up that fails meanwhile is told of below.
  cleaning.catch(() => {})
  const beside: Pace[] = []
  // The last window may outlast the clean-up; without it a short clean-up would have none.
  while (seconds === undefined) beside.push(await run())
  const report = JSON.parse(await cleaning) as Record<string, number>
  return { before, beside: beside.length > 1 ? beside.slice(0, -1) : beside, seconds, deleted: report }
}
