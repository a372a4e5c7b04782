import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { argon2id, hash, needsRehash, verify } from 'argon2'
import pLimit from 'p-limit'
import { createKeyedQueue } from '../rate-limiting/keyed-queue.ts'

export const MAX_PASSWORD_CHARACTERS = 1024
/** Before they are composed, letters are several: this many for one in Hangul, and two marks on a Latin one. */
const MOST_PARTS_OF_A_CHARACTER = 4

/** OWASP's recommendation of the least memory: 12 ms on the machine it was measured on. */
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
const AT_ONCE = Math.min(Math.max(availableParallelism() - 1, 1), 3)
const WAITING_AT_MOST = 64
const WAIT_AT_MOST_MILLISECONDS = 5_000

/** Too many passwords are being hashed at this moment: come back later (503). */
export class HashingBusyError extends Error {
  override name = 'HashingBusyError'
}

/** Every password is compared in this form, however the keyboard composed its letters (NIST SP 800-63B-4 §3.1.1.2). */
export function normalizePassword(password: string): string {
  return password.normalize('NFC')
}

/** A password longer than any that could have been chosen is not worth hashing. */
export function isPossiblePassword(password: string): boolean {
  return (
    password.length > 0 &&
    password.length <= MAX_PASSWORD_CHARACTERS * MOST_PARTS_OF_A_CHARACTER &&
    [...normalizePassword(password)].length <= MAX_PASSWORD_CHARACTERS
  )
}

export type PasswordHasher = ReturnType<typeof createPasswordHasher>

/** Who waits for a password to be hashed. */
type Asker = Readonly<{
  /** Whether they went away meanwhile: then a turn is not spent on them. */
  isGone?: (() => boolean) | undefined
  /**
   * Whether the request has a valid device cookie: such requests keep a share of the queue that strangers cannot fill.
   */
  isKnown?: boolean
  /** The network of the request; undefined on the command line. */
  network?: string | undefined
}>

type Pool = { atOnce?: number; waitingAtMost?: number; waitAtMostMilliseconds?: number }

/**
 * Argon2id in a bounded pool. Its functions reject with {@link HashingBusyError} when the queue is full or the wait was
 * too long. One network may fill at most half of the queue, and delays other networks by no more passwords than are
 * hashed at once.
 */
export function createPasswordHasher({
  atOnce = AT_ONCE,
  waitingAtMost = WAITING_AT_MOST,
  waitAtMostMilliseconds = WAIT_AT_MOST_MILLISECONDS,
}: Pool = {}) {
  const pool = pLimit(atOnce)
  // Strangers queue here first: whoever is known finds no more of them before themselves than are hashed at once.
  const strangers = pLimit(atOnce)
  const createQueue = () => createKeyedQueue({ atOnce, waitingAtMost: Math.ceil(waitingAtMost / 2) })
  const queues = { known: createQueue(), strangers: createQueue() }
  const decoy = createDecoy()

  function isFull({ isKnown = false, network = '' }: Pick<Asker, 'isKnown' | 'network'> = {}): boolean {
    const [line, queue] = isKnown ? [pool, queues.known] : [strangers, queues.strangers]
    return line.pendingCount + queue.countWaiting() >= waitingAtMost || queue.isFull(network)
  }

  async function bounded<T>(work: () => Promise<T>, asker: Asker = {}): Promise<T> {
    const { isGone = () => false, isKnown = false, network } = asker
    if (isFull(asker)) throw new HashingBusyError('too many passwords are being hashed')
    const queuedAt = performance.now()
    const inTurn = () =>
      pool(() => {
        if (isGone() || performance.now() - queuedAt > waitAtMostMilliseconds)
          throw new HashingBusyError('nobody waits for this password any more')
        return work()
      })
    const enter = () => (isKnown ? inTurn() : strangers(inTurn))
    if (network === undefined) return await enter()
    const done = await (isKnown ? queues.known : queues.strangers).take(network, async () => ({
      result: await enter(),
    }))
    if (!done) throw new HashingBusyError('too many passwords of one network are being hashed')
    return done.result
  }

  return {
    /** Whether another password would be refused now. */
    isFull,

    /** @param password in the form that the rules for new passwords gave it. */
    hash: (password: string, asker?: Asker): Promise<string> =>
      bounded(() => hash(password, ARGON2_OPTIONS), asker),

    /**
     * Verifies a password. Without a hash (unknown login, no password set) a decoy is verified: a fast "no" would
     * tell an attacker which logins exist.
     */
    async verify(passwordHash: string | undefined, password: string, asker?: Asker): Promise<boolean> {
      const against = passwordHash ?? decoy
      const matches = await bounded(() => verify(against, normalizePassword(password)), asker)
      return matches && passwordHash !== undefined
    },

    isOutdated: (passwordHash: string): boolean => needsRehash(passwordHash, ARGON2_OPTIONS),
  }
}

/** A hash of nothing: verifying takes as long as with one of a password, and making it takes no time at all. */
function createDecoy(): string {
  const { memoryCost, timeCost, parallelism, hashLength } = ARGON2_OPTIONS
  const [salt, digest] = [SALT_BYTES, hashLength].map((length) =>
    randomBytes(length).toString('base64').replaceAll('=', ''),
  )
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${salt}$${digest}`
}
