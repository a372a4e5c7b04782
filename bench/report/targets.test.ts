import { expect, test } from 'vitest'
import { type Figures, summarise } from './figures.ts'
import { judgeSpeed } from './targets.ts'

const figures = (changed: Partial<Figures>): Figures => ({
  requests: 1000,
  seconds: 1,
  requestsPerSecond: 1000,
  p50Milliseconds: 1,
  p99Milliseconds: 2,
  serverMicroseconds: 100,
  postgresMicroseconds: 0,
  generatorMicroseconds: 20,
  statementsPerRequest: 0,
  faults: 0,
  firstFault: undefined,
  ...changed,
})

const result = (sallyport: Partial<Figures>) =>
  summarise('client-credentials-opaque', [
    { engine: figures({}), plain: figures({ requestsPerSecond: 400 }), sallyport: figures(sallyport) },
  ])

const targetOf = (metric: string, sallyport: Partial<Figures>) =>
  judgeSpeed(result(sallyport)).find((target) => target.metric.startsWith(metric))

test('throughput at its limit meets the target, below it misses it', () => {
  expect(targetOf('requests/s over the engine', { requestsPerSecond: 900 })).toMatchObject({
    met: true,
    value: 0.9,
  })
  expect(targetOf('requests/s over the engine', { requestsPerSecond: 890 })).toMatchObject({
    met: false,
  })
})

test('the CPU of Postgres is added to the server’s', () => {
  expect(targetOf('server + Postgres CPU', { postgresMicroseconds: 40 })).toMatchObject({
    met: true,
    value: 1.4,
  })
  expect(targetOf('server + Postgres CPU', { postgresMicroseconds: 41 })).toMatchObject({ met: false })
})

test('statements that no request causes are tolerated up to 0.02 per request', () => {
  expect(targetOf('statements', { statementsPerRequest: 1.01 })).toMatchObject({ met: true })
  expect(targetOf('statements', { statementsPerRequest: 1.1 })).toMatchObject({ met: false })
})

test('a scenario with a wrong answer meets no target', () => {
  expect(result({ faults: 1 }).valid).toBe(false)
  expect(judgeSpeed(result({ faults: 1 })).map(({ met }) => met)).not.toContain(true)
})

test('an unknown value neither meets nor misses its target', () => {
  expect(targetOf('server + Postgres CPU', { postgresMicroseconds: undefined })).toMatchObject({
    met: undefined,
  })
})

test('a ratio is the median over rounds, so one slow round does not change it', () => {
  const round = (pace: number) => ({
    engine: figures({ requestsPerSecond: pace }),
    plain: figures({ requestsPerSecond: pace }),
    sallyport: figures({ requestsPerSecond: pace / 2 }),
  })
  expect(summarise('userinfo', [round(1000), round(100), round(800)]).ratios.toEngine).toBe(0.5)
})
