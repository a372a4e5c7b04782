import { join } from 'node:path'
import { end, type Processes } from '../processes.ts'
import type { Measurement } from './closed-loop.ts'
import type { Order, Reply } from './generator-process.ts'

const PROGRAM = join(import.meta.dirname, 'generator-process.ts')

export type Generator = Readonly<{
  order(order: Order): Promise<Measurement | undefined>
  stop(): Promise<void>
}>

/** Starts the load generator in a process of its own. */
export function startGenerator(processes: Processes): Generator {
  const child = processes.fork(PROGRAM)
  return {
    order(order) {
      return new Promise((done, fail) => {
        const onExit = () => fail(new Error('the load generator ended'))
        child.once('exit', onExit)
        child.once('message', (reply: Reply) => {
          child.off('exit', onExit)
          if ('error' in reply) fail(new Error(`${order.do}: ${reply.error}`))
          else done(reply.measurement)
        })
        child.send(order)
      })
    },
    stop: () => end(child),
  }
}
