import { argon2id, hash, verify } from 'argon2'

const LIBUV_THREADS = 4
/** The server's parameters (OWASP's minimum of memory). */
const OPTIONS = { type: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1, hashLength: 32 } as const

/** Passwords per second that all libuv threads verify while the machine does nothing else. */
export async function measureArgon2(seconds: number): Promise<number> {
  const stored = await hash('velvet kettle harbor nineteen', OPTIONS)
  const startedAt = performance.now()
  const endAt = startedAt + seconds * 1000
  let verified = 0
  const keepBusy = async () => {
    while (performance.now() < endAt) {
      await verify(stored, 'velvet kettle harbor nineteen')
      verified++
    }
  }
  await Promise.all(Array.from({ length: LIBUV_THREADS }, keepBusy))
  return (verified * 1000) / (performance.now() - startedAt)
}
