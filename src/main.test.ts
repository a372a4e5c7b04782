import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const MAIN = join(import.meta.dirname, 'main.ts')
/** A Node version that cannot read TypeScript. */
const OLD_NODE = [
  '--no-strip-types',
  '--import',
  `data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.20.2'})`,
]

function run(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { env: {}, encoding: 'utf8' })
  return { status, stdout, stderr }
}

describe('the entry point', () => {
  test('answers a Node that is too old in one sentence', () => {
    const { status, stdout, stderr } = run(...OLD_NODE, MAIN, 'serve')
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^Sallyport needs Node 24 or newer, and this is v[\d.]+\. .*run npm ci.*\.\n$/)
  })

  test('answers a checkout without its packages in one sentence', () => {
    const checkout = mkdtempSync(join(tmpdir(), 'checkout-'))
    cpSync(import.meta.dirname, join(checkout, 'src'), { recursive: true, verbatimSymlinks: true })
    cpSync(join(import.meta.dirname, '../package.json'), join(checkout, 'package.json'))
    expect(run(join(checkout, 'src/main.ts'), 'serve')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'The packages that Sallyport needs are not installed: run npm ci.\n',
    })
    rmSync(checkout, { recursive: true })
  })

  test('ends with its exit code when stderr is closed', { timeout: 30_000 }, async () => {
    const child = spawn(process.execPath, [MAIN, 'unknown'], { env: {}, stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr.destroy()
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
    expect(await once(child, 'exit')).toEqual([2, null])
    clearTimeout(timer)
  })
})
