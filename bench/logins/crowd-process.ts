import { json } from 'node:stream/consumers'
import type { Person, Target } from '../contenders/contender.ts'
import { runCrowd } from './crowd.ts'

/** What the process is told on standard input. */
export type CrowdOrder = Readonly<{ target: Target; people: readonly Person[]; seconds: number }>

const { target, people, seconds } = (await json(process.stdin)) as CrowdOrder
process.stdout.write(JSON.stringify(await runCrowd(target, people, seconds)))
