/**
 * Room http/pages/: renders pages (this file) in the language of the request, serves their assets, and names the browser
 * in a `User-Agent` header.
 */

import type { Context } from 'koa'
import { LEAST_PASSWORD_CHARACTERS } from '../../accounts/password-rules.ts'
import type { Brand } from '../../config/config.ts'
import { accentStyle } from '../../ui/brand/colors.ts'
import type { Logo } from '../../ui/brand/logo.ts'
import type { InteractionFiles } from '../../ui/files.ts'
import type { Messages } from '../../ui/messages.ts'
import type { Templates } from '../../ui/templates.ts'
import type { ErrorKind, PageContext, RenderErrorPage, RenderPage } from '../../ui/view-models.ts'
import { allowFormTargets } from '../transport/headers.ts'
import { createAssets } from './assets.ts'
import { wordsOf } from './language.ts'

type Needs = {
  brand: Brand
  issuer: string
  files: InteractionFiles
  messages: Messages
  templates: Templates
}

/** The `theme-color` of the browser's bar, between the accents of the light and dark schemes. */
const OWN_ACCENT = '#5b78f0'
const LOGO_PIXELS = 28

export type Views = ReturnType<typeof createViews>

/** Renders the pages of `interactions/`, each in the language of its request. */
export function createViews({ brand, issuer, files, messages, templates }: Needs) {
  const assets = createAssets([
    {
      name: 'style.css',
      type: 'css',
      content: files.read('style.css').toString('utf8') + (brand.accents ? accentStyle(brand.accents) : ''),
    },
    { name: 'page.js', type: 'js', content: files.read('page.js') },
    ...(brand.logo ? [{ ...brand.logo, name: `logo.${brand.logo.type}` }] : []),
  ])
  const common = {
    brand: brand.name,
    logo: brand.logo && { ...scaled(brand.logo), url: assets.urlOf(`logo.${brand.logo.type}`) },
    accent: brand.accents?.light ?? OWN_ACCENT,
    issuer,
    leastPasswordCharacters: LEAST_PASSWORD_CHARACTERS,
    stylesheet: assets.urlOf('style.css'),
    script: assets.urlOf('page.js'),
  }
  const words = (ctx: PageContext) => wordsOf(ctx, messages)

  const render: RenderPage = (ctx, name, values, formTargets = []) => {
    const { lang, ...spoken } = words(ctx)
    allowFormTargets(ctx, formTargets)
    ctx.vary('Accept-Language')
    ctx.set('Content-Language', lang)
    ctx.type = 'html'
    ctx.body = templates.render(name, { ...common, lang, ...spoken, nonce: ctx.state.nonce, ...values })
  }

  const renderError: RenderErrorPage = (ctx, { status, code, detail }) => {
    ctx.status = status
    render(ctx, 'error', {
      status,
      kind: errorKindOf(status, code),
      code,
      detail,
      requestId: String(ctx.state.requestId ?? ''),
      retryUrl: undefined,
      app: ctx.state.app,
    })
  }

  return { render, renderError, words, serveAssets: assets.serve }
}

/** The size on the page: a known size avoids a layout shift when the image loads. */
function scaled({ width, height }: Logo): { width: number; height: number } {
  return { width: Math.round((width / height) * LOGO_PIXELS), height: LOGO_PIXELS }
}

/** The messages of the error page, which say what happened without the terms of the protocol. */
function errorKindOf(status: number, code: string | undefined): ErrorKind {
  return BY_CODE[code ?? ''] ?? BY_STATUS[status] ?? (status >= 500 ? 'broken' : 'refused')
}

const BY_STATUS: Record<number, ErrorKind> = {
  403: 'form-refused',
  404: 'not-found',
  408: 'too-slow',
  413: 'too-large',
  414: 'url-too-long',
  429: 'too-many',
  431: 'headers-too-long',
  503: 'unavailable',
}

const BY_CODE: Record<string, ErrorKind> = {
  temporarily_unavailable: 'unavailable',
  invalid_client: 'unknown-client',
  invalid_redirect_uri: 'foreign-address',
  session_not_found: 'expired',
}

/** Redirects to a page of the server. The path comes from the code, never from a request (OWASP ASVS 3.7.2). */
export function seeOther(ctx: Context, path: string): void {
  ctx.status = 303
  ctx.redirect(path)
}
