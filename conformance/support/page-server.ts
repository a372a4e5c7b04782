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

/** A page with its values. */
export type Sample = { [Name in keyof Pages]: { name: Name; values: Pages[Name] } }[keyof Pages]

export type PageServer = Readonly<{ origin: string; close: () => Promise<void> }>

/**
 * Serves pages with given values, each at the path of its name: values that a real account gathers over months, and
 * hostile ones. `?ui_locales=` selects a language. It uses the rendering of the server, with its security headers,
 * without the rest.
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
