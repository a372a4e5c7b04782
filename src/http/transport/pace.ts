import type { Middleware } from 'koa'

/**
 * Lets these requests begin one by one, each in a turn of the event loop of its own: however many come at once, others
 * find the loop and the database's connections free. Nobody waits for a request before theirs to end.
 */
export function startOnePageAtATime(): Middleware {
  const waiting: (() => void)[] = []
  let isMoving = false

  function moveOn(): void {
    waiting.shift()?.()
    isMoving = waiting.length > 0
    if (isMoving) setImmediate(moveOn)
  }

  return async (_ctx, next) => {
    await new Promise<void>((begin) => {
      waiting.push(begin)
      if (isMoving) return
      isMoving = true
      setImmediate(moveOn)
    })
    await next()
  }
}
