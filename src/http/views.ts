import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Eta } from 'eta'
import type { Middleware } from 'koa'
import type { RenderErrorPage, RenderPage } from '../oidc/pages.ts'
import { describeError } from './error-words.ts'
import { allowFormTargets } from './headers.ts'

const TEMPLATES_FOLDER = fileURLToPath(new URL('../../interactions/', import.meta.url))
const STYLESHEET_PATH = '/assets/style.css'
const DAY_SECONDS = 86_400

/** Draws the pages of `interactions/`. Templates are compiled once; every value is escaped by default. */
export function createViews({ brand, issuer }: { brand: string; issuer: string }) {
  const eta = new Eta({ views: TEMPLATES_FOLDER, autoEscape: true, cache: true })
  const stylesheet = readFileSync(new URL('style.css', `file://${TEMPLATES_FOLDER}`))
  const version = createHash('sha256').update(stylesheet).digest('base64url').slice(0, 12)
  const common = { brand, issuer, readable, stylesheet: `${STYLESHEET_PATH}?v=${version}` }

  const render: RenderPage = (ctx, name, values, formTargets = []) => {
    allowFormTargets(ctx, formTargets)
    ctx.type = 'html'
    ctx.body = eta.render(`./${name}`, { ...common, ...values })
  }

  const renderError: RenderErrorPage = (ctx, { status, code, detail }) => {
    ctx.status = status
    render(ctx, 'error', {
      status,
      code,
      detail,
      requestId: String(ctx.state.requestId ?? ''),
      retryUrl: undefined,
      app: ctx.state.app,
      ...describeError(status, code),
    })
  }

  const serveAssets: Middleware = (ctx, next) => {
    if (ctx.path !== STYLESHEET_PATH || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    ctx.set('Cache-Control', `public, max-age=${DAY_SECONDS}`)
    ctx.set('ETag', `"${version}"`)
    ctx.type = 'css'
    ctx.body = stylesheet
    return undefined
  }

  return { render, renderError, serveAssets }
}

const INSTANT = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'short',
  timeZone: 'UTC',
})

/** An instant as people read it. In UTC, and it says so: a page without scripts cannot know where they are. */
const readable = (at: Date): string => `${INSTANT.format(at)} UTC`

export type Views = ReturnType<typeof createViews>
