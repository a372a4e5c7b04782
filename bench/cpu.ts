import { readdirSync, readFileSync } from 'node:fs'

/** The unit of /proc/<pid>/stat: USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

type ProcessTimes = { parent: number; own: number; ofEndedChildren: number }

/** CPU seconds of all threads of a process; undefined on systems without /proc. */
export function cpuSecondsOf(pid: number): number | undefined {
  return readTimes(pid)?.own
}

/**
 * CPU seconds of a process and its children (Postgres and its backends). Ended children are included once their parent
 * has waited for them, so the number never falls.
 */
export function cpuSecondsOfFamily(pid: number): number | undefined {
  const parent = readTimes(pid)
  if (!parent) return undefined
  let seconds = parent.own + parent.ofEndedChildren
  for (const name of readdirSync('/proc')) {
    const times = /^\d+$/.test(name) ? readTimes(Number(name)) : undefined
    if (times?.parent === pid) seconds += times.own + times.ofEndedChildren
  }
  return seconds
}

function readTimes(pid: number): ProcessTimes | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return undefined // Another system, or a process that ended between two reads.
  }
}

/** Reads a line of /proc/<pid>/stat (see proc_pid_stat(5)). The name in parentheses may hold anything. */
export function parseStat(line: string): ProcessTimes {
  const fields = line
    .slice(line.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const seconds = (first: number) => ((fields[first] ?? 0) + (fields[first + 1] ?? 0)) / TICKS_PER_SECOND
  return { parent: fields[1] ?? 0, own: seconds(11), ofEndedChildren: seconds(13) }
}
