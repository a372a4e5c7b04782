import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { pino } from 'pino'
import { parseConfig } from '../../src/config/config.ts'
import { createViews } from '../../src/http/pages/views.ts'
import { setSecurityHeaders } from '../../src/http/transport/headers.ts'
import { openInteractionFiles } from '../../src/ui/files.ts'
import { loadMessages } from '../../src/ui/messages.ts'
import { compileTemplates } from '../../src/ui/templates.ts'
import type { Pages } from '../../src/ui/view-models.ts'

/** A page with what it shows. */
export type Sample = { [Name in keyof Pages]: { name: Name; values: Pages[Name] } }[keyof Pages]

export type PageServer = Readonly<{ origin: string; close: () => Promise<void> }>

/**
 * Serves pages with values of the test's own, each at the path of its name: what takes a person months to gather, and
 * what none should have. `?ui_locales=` asks for a language. Reaches past the server's HTTP to the drawing of pages alone, with the headers of every answer.
 */
export async function startPageServer(
  samples: Record<string, Sample>,
  { settings = {} }: { settings?: Record<string, string> } = {},
): Promise<PageServer> {
  const { brand, templatesDir } = parseConfig(settings)
  const app = new Koa()
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const files = openInteractionFiles(templatesDir)
  const messages = loadMessages(files, { log: pino({ level: 'silent' }) })
  const templates = compileTemplates(files, messages)
  const { render, serveAssets } = createViews({
    brand,
    issuer: origin,
    files,
    messages,
    templates,
  })
  app.use(setSecurityHeaders({ issuer: origin }))
  app.use(serveAssets)
  app.use((ctx) => {
    const sample = samples[ctx.path.slice(1)]
    if (sample) render(ctx as unknown as Parameters<typeof render>[0], sample.name, sample.values)
  })
  server.on('request', app.callback())
  return {
    origin,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
