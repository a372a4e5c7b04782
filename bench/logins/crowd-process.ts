import { json } from 'node:stream/consumers'
import type { Target } from '../contenders/contender.ts'
import { runCrowd } from './crowd.ts'

/** What the process is told on standard input. */
export type CrowdOrder = Readonly<{ target: Target; firstPerson: number; seconds: number }>

const { target, ...options } = (await json(process.stdin)) as CrowdOrder
process.stdout.write(JSON.stringify(await runCrowd(target, options)))
