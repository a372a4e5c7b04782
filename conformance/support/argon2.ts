import { createRequire } from 'node:module'
import { afterAll, beforeAll } from 'vitest'

/**
 * Replaces the package `argon2` in the servers of the test process (vitest.config.ts): the same functions, with new
 * hashes at a low cost. At full cost, Argon2 took a fifth of the CPU time of the conformance tests. The server itself has
 * no setting for the cost, so that an operator cannot weaken it.
 */
const argon2: typeof import('argon2') = createRequire(import.meta.url)('argon2')
const LOW_COST = { memoryCost: 64, timeCost: 1 } as const

let isFullCost = false

/** Lets the tests of a file or a suite hash at full cost: those that measure time, load or the parameters. */
export function useFullPasswordCost(): void {
  beforeAll(() => {
    isFullCost = true
  })
  afterAll(() => {
    isFullCost = false
  })
}

const costOf = <Options extends object>(options: Options): Options =>
  isFullCost ? options : { ...options, ...LOW_COST }

export const { argon2i, argon2id, verify } = argon2

export function hash(password: string, options: Parameters<typeof argon2.needsRehash>[1]): Promise<string> {
  return argon2.hash(password, costOf({ ...options }))
}

export function needsRehash(
  digest: string,
  options: NonNullable<Parameters<typeof argon2.needsRehash>[1]>,
): boolean {
  return argon2.needsRehash(digest, costOf(options))
}
