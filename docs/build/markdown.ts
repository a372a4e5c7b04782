import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')
const FOREIGN_FOLDERS = ['node_modules', 'dist', 'data', 'coverage', 'bench-results']

/** A Markdown file of this repository. `path` is relative to its top folder. */
export type Page = Readonly<{ path: string; text: string }>

/** A fenced block: `info` is the text after the fence, such as `sh` or `js`. */
export type CodeBlock = Readonly<{ info: string; text: string }>

/** Every Markdown file of the repository. */
export function readPages(): Page[] {
  return markdownFilesIn(ROOT).map((file) => ({
    path: relative(ROOT, file).replaceAll('\\', '/'),
    text: readFileSync(file, 'utf8'),
  }))
}

export function codeBlocksOf({ text }: Page): CodeBlock[] {
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(([, info = '', block = '']) => ({
    info: info.trim(),
    text: block,
  }))
}

/** The text outside fenced blocks. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```.*?^```$/gms, '')
}

export function inlineCodeOf(page: Page): string[] {
  return [...proseOf(page).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

/** The targets of a page's links: URLs, paths and anchors, as written. */
export function linksOf(page: Page): string[] {
  const prose = proseOf(page).replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
}

/** The anchors of a page's headings, as GitHub makes them: a repeated one gets a number. */
export function anchorsOf(page: Page): string[] {
  const seen = new Map<string, number>()
  return [...proseOf(page).matchAll(/^#{1,6} +(.+?) *$/gm)].map(([, heading = '']) => {
    const anchor = toAnchor(heading)
    const count = seen.get(anchor) ?? 0
    seen.set(anchor, count + 1)
    return count === 0 ? anchor : `${anchor}-${count}`
  })
}

function toAnchor(heading: string): string {
  const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
  return shown
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-')
}

function markdownFilesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory())
      return entry.name.startsWith('.') || FOREIGN_FOLDERS.includes(entry.name) ? [] : markdownFilesIn(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}
