import { expect, test } from 'vitest'
import { type Figures, summarise } from './figures.ts'
import { judge } from './targets.ts'

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

const verdictOn = (metric: string, sallyport: Partial<Figures>) =>
  judge(result(sallyport), 2).find((verdict) => verdict.metric === metric)

test('throughput at its limit is met, below it is missed and explained', () => {
  expect(verdictOn('toEngine', { requestsPerSecond: 900 })).toMatchObject({ met: true, value: 0.9 })
  expect(verdictOn('toEngine', { requestsPerSecond: 890 })).toMatchObject({
    met: false,
    because: expect.stringContaining('waiting for Postgres'),
  })
})

test('the CPU of Postgres counts with the server’s', () => {
  expect(verdictOn('cpuToEngine', { postgresMicroseconds: 40 })).toMatchObject({ met: true, value: 1.4 })
  expect(verdictOn('cpuToEngine', { postgresMicroseconds: 41 })).toMatchObject({ met: false })
})

test('a rare statement beside the requests is no statement per request', () => {
  expect(verdictOn('statements', { statementsPerRequest: 1.01 })).toMatchObject({ met: true })
  expect(verdictOn('statements', { statementsPerRequest: 1.1 })).toMatchObject({ met: false })
})

test('a scenario with a wrong answer meets nothing', () => {
  expect(result({ faults: 1 }).valid).toBe(false)
  expect(judge(result({ faults: 1 }), 2).map(({ met }) => met)).not.toContain(true)
})

test('what this system cannot measure is neither met nor missed', () => {
  expect(verdictOn('cpuToEngine', { postgresMicroseconds: undefined })).toMatchObject({ met: undefined })
})

test('a ratio is the median of the rounds’ ratios, so that a slow round spoils nothing', () => {
  const round = (pace: number) => ({
    engine: figures({ requestsPerSecond: pace }),
    plain: figures({ requestsPerSecond: pace }),
    sallyport: figures({ requestsPerSecond: pace / 2 }),
  })
  expect(summarise('userinfo', [round(1000), round(100), round(800)]).ratios.toEngine).toBe(0.5)
})
