import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { accentFault, BACKGROUNDS, toAccents } from './colors.ts'
import { type Color, contrast, textOn } from './contrast.ts'
import { parseLogo } from './logo.ts'

test.each<[Color, Color, number]>([
  ['#000000', '#ffffff', 21],
  ['#777777', '#ffffff', 4.48],
  ['#767676', '#ffffff', 4.54],
  ['#ff0000', '#ffffff', 4],
  ['#2746d8', '#2746d8', 1],
])('the contrast of %s and %s is %d (WCAG 2.2 §1.4.3)', (one, other, ratio) => {
  expect(contrast(one, other)).toBeCloseTo(ratio, 2)
  expect(contrast(other, one)).toBe(contrast(one, other))
})

test('rejects an unreadable accent with its ratio, rounded down', () => {
  expect(accentFault('#777777', 'light')).toBe(
    '#777777 has a contrast of 4.1:1 to the light page (#f4f5f8); text needs 4.5:1',
  )
  expect(accentFault('#0b7a4b', 'light')).toBeUndefined()
  expect(accentFault('#0b7a4b', 'dark')).toContain(':1 to the dark page')
})

test('finds readable text on every accent, and a readable dark accent for every light one', () => {
  for (let shade = 0; shade < 256; shade++) {
    const hex = shade.toString(16).padStart(2, '0')
    for (const color of [`#${hex}0000`, `#00${hex}00`, `#0000${hex}`, `#${hex}${hex}${hex}`] as const) {
      expect(contrast(textOn(color), color)).toBeGreaterThan(4.5)
      expect(accentFault(toAccents(color, undefined).dark, 'dark')).toBeUndefined()
    }
  }
})

test('uses the backgrounds of the style sheet', () => {
  const style = readFileSync(new URL('../../../interactions/style.css', import.meta.url), 'utf8')
  const pages = [...style.matchAll(/--page: (#\w+); --card: (#\w+)/g)].map(([, page = '', card = '']) =>
    [page, card].map((color) => (color.length === 4 ? color.replace(/\w/g, '$&$&') : color)),
  )
  expect(pages).toEqual([BACKGROUNDS.light, BACKGROUNDS.dark])
})

test.each([
  ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 24"><path d=""/></svg>', 48, 24],
  ['<?xml version="1.0"?>\n<svg width="30px" height="20px"></svg>', 30, 20],
])('reads the size of the SVG %s', (text, width, height) => {
  expect(parseLogo(Buffer.from(text))).toMatchObject({ type: 'svg', width, height })
})

test('reads the size of a PNG', () => {
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAYAAAD0In+KAAAAEUlEQVR4nGP8z8Dwn4GBgQEADiUB/6hKzKQAAAAASUVORK5CYII=',
    'base64',
  )
  expect(parseLogo(png)).toMatchObject({ type: 'png', width: 2, height: 1 })
})

test.each([
  ['a page', '<!doctype html><p>no</p>'],
  ['an SVG without a size', '<svg xmlns="http://www.w3.org/2000/svg"></svg>'],
  ['an SVG of no width', '<svg viewBox="0 0 0 24"></svg>'],
  ['a GIF', 'GIF89a'],
  ['a file that is too large', `<svg viewBox="0 0 1 1">${' '.repeat(40_000)}</svg>`],
  ['nothing', ''],
])('rejects %s as a logo', (_, text) => {
  expect(parseLogo(Buffer.from(text))).toHaveProperty('fault')
})
