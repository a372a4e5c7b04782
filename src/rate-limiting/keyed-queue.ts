import { setTimeout as pause } from 'node:timers/promises'

/** A key limits its jobs: those of a name, of a network, or all without a device cookie. */
export type QueueKey = Readonly<{ key: string; atOnce?: number; mostWaiting?: number }>

/** The keys of a job and its order in the queue. */
export type Place = Readonly<{
  /** While a job pauses, the first key stays taken. */
  keys: readonly QueueKey[]
  /** Jobs with priority start before all others. */
  hasPriority?: boolean
  /**
   * For fairness, from wide to narrow: network, account, browser. Siblings start in rotation (round robin), so a crowd of
   * one delays another by one job. Jobs with the same path have the same keys, and no path extends another.
   */
  path?: readonly string[]
  /** One such job starts per turn of the event loop, so that a crowd of them leaves room for other requests. */
  isPaced?: boolean
  /** Whether the client disconnected: then its job expires. */
  isGone?: (() => boolean) | undefined
}>

export type Queued<Result> =
  | { outcome: 'done'; result: Result }
  /** `mostWaiting` jobs wait for this key; the job was not queued. */
  | { outcome: 'full'; key: string }
  /** It waited too long, or its client disconnected; the work was not started. */
  | { outcome: 'expired' }

/** Frees the job's place for some time. @returns false when the job expired meanwhile: then the work ends. */
export type Pause = (milliseconds: number) => Promise<boolean>

type Options = Readonly<{
  /** Jobs of all keys that run at the same time. */
  atOnce?: number
  waitAtMostMilliseconds?: number
}>

type Job = Place & {
  cameAt: number
  isRunning: boolean
  readonly taken: Set<string>
  settle: (outcome: 'started' | 'expired') => void
}

/** Waiting jobs by path; branches are in the order of rotation. */
type Branch = { readonly jobs: Job[]; readonly branches: Map<string, Branch> }

/**
 * A bounded priority queue whose jobs are limited by keys: one sign-in per account, 16 requests per network.
 *
 * p-queue has priorities but no keys: it would need one more queue per account and network (docs/decisions.md, "One queue
 * for passwords").
 */
export function createKeyedQueue({
  atOnce = Number.POSITIVE_INFINITY,
  waitAtMostMilliseconds = Number.POSITIVE_INFINITY,
}: Options = {}) {
  const priority = createBranch()
  const others = createBranch()
  const running = createCounts()
  const waiting = createCounts()
  let runningJobs = 0
  let hasPacedThisTurn = false

  return {
    async run<Result>(place: Place, work: (pause: Pause) => Promise<Result>): Promise<Queued<Result>> {
      const full = place.keys.find(
        ({ key, mostWaiting }) => waiting.of(key) >= (mostWaiting ?? Number.POSITIVE_INFINITY),
      )
      if (full) return { outcome: 'full', key: full.key }
      const job: Job = {
        ...place,
        cameAt: performance.now(),
        isRunning: false,
        taken: new Set(),
        settle: () => {},
      }
      if ((await enter(job, 'last')) === 'expired') return { outcome: 'expired' }
      try {
        return { outcome: 'done', result: await work((milliseconds) => pauseJob(job, milliseconds)) }
      } finally {
        leave(job)
      }
    },
  }

  function enter(job: Job, at: 'first' | 'last'): Promise<'started' | 'expired'> {
    const { hasPriority, path = [], keys } = job
    const { jobs } = path.reduce(branchOf, hasPriority ? priority : others)
    if (at === 'first') jobs.unshift(job)
    else jobs.push(job)
    for (const { key } of keys) waiting.add(key, 1)
    return new Promise((settle) => {
      job.settle = settle
      // The others still cannot start: a scan for each job that enters would take quadratic time in a crowd.
      if (jobs[0] === job && mayLeave(job)) startNext()
    })
  }

  function leave(job: Job, kept?: string): void {
    if (job.isRunning) runningJobs--
    job.isRunning = false
    for (const key of job.taken) if (key !== kept) running.add(key, -1)
    job.taken.clear()
    if (kept !== undefined) job.taken.add(kept)
    startNext()
  }

  async function pauseJob(job: Job, milliseconds: number): Promise<boolean> {
    leave(job, job.keys[0]?.key)
    await pause(milliseconds)
    return (await enter(job, 'first')) === 'started'
  }

  function startNext(): void {
    for (;;) {
      const job = takeNext(priority) ?? takeNext(others)
      if (!job) return
      if (job.isPaced) pace()
      start(job)
    }
  }

  function pace(): void {
    hasPacedThisTurn = true
    setImmediate(() => {
      hasPacedThisTurn = false
      startNext()
    })
  }

  /** Takes the first job that can start, and moves its branches to the end of the rotation. */
  function takeNext({ jobs, branches }: Branch): Job | undefined {
    if (jobs[0] && mayLeave(jobs[0])) return jobs.shift()
    for (const [name, branch] of branches) {
      const job = takeNext(branch)
      if (!job) continue
      branches.delete(name)
      if (branch.jobs.length + branch.branches.size > 0) branches.set(name, branch)
      return job
    }
    return undefined
  }

  function start(job: Job): void {
    for (const { key } of job.keys) waiting.add(key, -1)
    if (isExpired(job)) {
      job.settle('expired')
      return
    }
    for (const { key } of job.keys) if (!job.taken.has(key)) running.add(key, 1)
    for (const { key } of job.keys) job.taken.add(key)
    job.isRunning = true
    runningJobs++
    job.settle('started')
  }

  function mayLeave(job: Job): boolean {
    return !(job.isPaced && hasPacedThisTurn) && (mayStart(job) || isExpired(job))
  }

  function mayStart({ keys, taken }: Job): boolean {
    return (
      runningJobs < atOnce &&
      keys.every(
        ({ key, atOnce: most = Number.POSITIVE_INFINITY }) => taken.has(key) || running.of(key) < most,
      )
    )
  }

  function isExpired({ cameAt, isGone }: Job): boolean {
    return performance.now() - cameAt > waitAtMostMilliseconds || isGone?.() === true
  }
}

const createBranch = (): Branch => ({ jobs: [], branches: new Map() })

function branchOf({ branches }: Branch, name: string): Branch {
  const branch = branches.get(name) ?? createBranch()
  branches.set(name, branch)
  return branch
}

/** Counts by key; a zero takes no memory. */
function createCounts() {
  const counts = new Map<string, number>()
  const of = (key: string) => counts.get(key) ?? 0
  return {
    of,
    add(key: string, change: number): void {
      const count = of(key) + change
      if (count === 0) counts.delete(key)
      else counts.set(key, count)
    },
  }
}
