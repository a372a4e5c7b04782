import { argon2id, hash, verify } from 'argon2'

const LIBUV_THREADS = 4
/** What the server hashes with (OWASP's least memory). */
const OPTIONS = { type: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1, hashLength: 32 } as const

/** How many passwords a second this machine verifies with all of libuv's threads, and with nothing else to do. */
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
