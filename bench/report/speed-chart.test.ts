import { load } from 'cheerio'
import { expect, test } from 'vitest'
import { type Figures, summarise } from './figures.ts'
import { drawSpeedChart } from './speed-chart.ts'

const figures = (requestsPerSecond: number): Figures => ({
  requests: 1,
  seconds: 1,
  requestsPerSecond,
  p50Milliseconds: 1,
  p99Milliseconds: 1,
  serverMicroseconds: 100,
  postgresMicroseconds: 50,
  generatorMicroseconds: 20,
  statementsPerRequest: 1,
  faults: 0,
  firstFault: undefined,
})

test('the chart is well-formed, with a bar for every contender in proportion to its value', () => {
  const rounds = [{ engine: figures(1000), plain: figures(250), sallyport: figures(500) }]
  const svg = drawSpeedChart([summarise('userinfo', rounds)], 'a < b & c')
  const $ = load(svg, { xml: true })
  const widths = $('rect[y=68], rect[y=82], rect[y=96]')
    .toArray()
    .map((rect) => Number($(rect).attr('width')))
  expect(widths.map((width) => width / (widths[0] ?? 0))).toEqual([1, 0.25, 0.5])
  expect($('text').last().text()).toBe('a < b & c')
  expect(svg).not.toMatch(/NaN|undefined/)
})
