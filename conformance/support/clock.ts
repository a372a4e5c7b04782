import { vi } from 'vitest'

/**
 * Does something when this much time has passed by the clock of the server, which runs in this process and goes on
 * from there. Postgres keeps its own; what it judges is moved by SQL.
 */
export async function later<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + seconds * 1000, shouldAdvanceTime: true })
  try {
    return await work()
  } finally {
    vi.useRealTimers()
  }
}
