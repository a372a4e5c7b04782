import { vi } from 'vitest'

/**
 * Does something when this much time has passed by the clock of the server, which runs in this process and goes on
 * from there, as fast as any clock however busy the machine is: what waits a second has waited one. Postgres keeps its
 * own; what it judges is moved by SQL.
 */
export async function later<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  const now = () => RealDate.now() + seconds * 1000
  vi.stubGlobal(
    'Date',
    new Proxy(RealDate, {
      construct: (target, values) => Reflect.construct(target, values.length > 0 ? values : [now()]),
      get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
    }),
  )
  try {
    return await work()
  } finally {
    vi.unstubAllGlobals()
  }
}

const RealDate = Date
