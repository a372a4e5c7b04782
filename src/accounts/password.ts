import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { argon2id, hash, needsRehash, verify } from 'argon2'
import pLimit from 'p-limit'
import { createKeyedQueue, type Pause, type Queued, type QueueKey } from '../rate-limiting/keyed-queue.ts'

export const MAX_PASSWORD_CHARACTERS = 1024
/** A letter has up to three code points before NFC composition (Hangul), and four with Latin marks to spare. */
const MOST_PARTS_OF_A_CHARACTER = 4

/** OWASP's parameters with the least memory: about 12 ms a hash on one core. */
const ARGON2_OPTIONS = {
  type: argon2id,
  memoryCost: 19_456,
  timeCost: 2,
  parallelism: 1,
  hashLength: 32,
} as const
const SALT_BYTES = 16

/**
 * Hashing shares libuv's four threads and the machine's cores with token signing: a thread and a core stay free of it.
 */
const HASHES_AT_ONCE = Math.min(Math.max(availableParallelism() - 1, 1), 3)
/** Beside the hashes, jobs that read and count in the database. Other requests find its other connections free. */
const JOBS_AT_ONCE = HASHES_AT_ONCE + 3
const JOBS_OF_ONE_NETWORK = Math.ceil(JOBS_AT_ONCE / 2)
/** About one second of hashes: a longer queue would only delay the 503. */
const MOST_UNKNOWN_WAITING = 64
/** More, because requests with a device cookie also wait for others of their account. */
const MOST_KNOWN_WAITING = 640
const WAIT_AT_MOST_MILLISECONDS = 5_000

/** Passwords are hashed in NFC, so that keyboards with composed and decomposed letters agree (NIST SP 800-63B-4 §3.1.1.2). */
export function normalizePassword(password: string): string {
  return password.normalize('NFC')
}

/** Whether a password could have been set: others are not worth a hash. */
export function isPossiblePassword(password: string): boolean {
  return (
    password.length > 0 &&
    password.length <= MAX_PASSWORD_CHARACTERS * MOST_PARTS_OF_A_CHARACTER &&
    [...normalizePassword(password)].length <= MAX_PASSWORD_CHARACTERS
  )
}

export type PasswordQueue = ReturnType<typeof createPasswordQueue>

type PasswordJob = Readonly<{
  network: string
  /** Whether the request has a valid device cookie: such requests have priority and places of their own. */
  isKnown?: boolean
  /** Within the network: the account and the browser, the name, or all new passwords (see `Place`). */
  path: readonly string[]
  /** Limits of its own, such as one at a time for a name. */
  keys?: readonly QueueKey[]
  isGone: () => boolean
}>

/**
 * The queue of all requests that hash a password: sign-ins and new passwords. A job reads, counts and hashes without
 * queueing again, so a request that is refused, or whose client disconnects, costs neither a statement nor a hash.
 *
 * Requests with a device cookie have priority. Of those with one, and of those without, one network fills at most half of
 * the places and runs at most half of the jobs; rotation serves the other networks.
 */
export function createPasswordQueue({ waitAtMostMilliseconds = WAIT_AT_MOST_MILLISECONDS } = {}) {
  const queue = createKeyedQueue({ atOnce: JOBS_AT_ONCE, waitAtMostMilliseconds })

  return {
    run<Result>(
      { network, isKnown = false, path, keys = [], isGone }: PasswordJob,
      work: (pause: Pause) => Promise<Result>,
    ): Promise<Queued<Result>> {
      const mostWaiting = isKnown ? MOST_KNOWN_WAITING : MOST_UNKNOWN_WAITING
      const people = isKnown ? 'known' : 'unknown'
      const ofNetwork = { key: `${people} in ${network}`, atOnce: JOBS_OF_ONE_NETWORK }
      const bounds = [
        { ...ofNetwork, mostWaiting: mostWaiting / 2 },
        { key: people, mostWaiting },
      ]
      const place = { keys: [...keys, ...bounds], hasPriority: isKnown, path: [network, ...path] }
      return queue.run({ ...place, isPaced: true, isGone }, work)
    },
  }
}

export type PasswordHasher = ReturnType<typeof createPasswordHasher>

/** Argon2id. Callers that serve the network wait in the password queue first, so few hashes wait here. */
export function createPasswordHasher({ atOnce = HASHES_AT_ONCE }: { atOnce?: number } = {}) {
  const bounded = pLimit(atOnce)
  const decoy = createDecoy()

  return {
    /** @param password in the form that the rules for new passwords gave it. */
    hash: (password: string): Promise<string> => bounded(() => hash(password, ARGON2_OPTIONS)),

    /**
     * Verifies a password. Without a hash (unknown login, no password set) a decoy is verified: a fast "no" would
     * reveal which logins exist.
     */
    async verify(passwordHash: string | undefined, password: string): Promise<boolean> {
      const matches = await bounded(() => verify(passwordHash ?? decoy, normalizePassword(password)))
      return matches && passwordHash !== undefined
    },

    isOutdated: (passwordHash: string): boolean => needsRehash(passwordHash, ARGON2_OPTIONS),
  }
}

/** A random digest: verifying it takes as long as a real hash, and creating it takes no time. */
function createDecoy(): string {
  const { memoryCost, timeCost, parallelism, hashLength } = ARGON2_OPTIONS
  const [salt, digest] = [SALT_BYTES, hashLength].map((length) =>
    randomBytes(length).toString('base64').replaceAll('=', ''),
  )
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${salt}$${digest}`
}
