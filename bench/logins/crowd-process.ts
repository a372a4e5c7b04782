import { json } from 'node:stream/consumers'
import type { Target } from '../contenders/contender.ts'
import { runCrowd } from './crowd.ts'

/** The standard input of the process. */
export type CrowdOrder = Readonly<{ target: Target; firstPerson: number; seconds: number }>

const { target, ...options } = (await json(process.stdin)) as CrowdOrder
process.stdout.write(JSON.stringify(await runCrowd(target, options)))
