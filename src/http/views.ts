import type { InteractionFiles } from '../interactions/files.ts'
import type { Messages } from '../interactions/messages.ts'
import type { Templates } from '../interactions/templates.ts'
import type { PageContext, RenderErrorPage, RenderPage } from '../oidc/pages.ts'
import { createAssets } from './assets.ts'
import { errorKindOf } from './error-kind.ts'
import { allowFormTargets } from './headers.ts'
import { wordsOf } from './language.ts'

type Needs = {
  brand: string
  issuer: string
  files: InteractionFiles
  messages: Messages
  templates: Templates
}

export type Views = ReturnType<typeof createViews>

/** Draws the pages of `interactions/`, each in the language of its request. */
export function createViews({ brand, issuer, files, messages, templates }: Needs) {
  const assets = createAssets([
    { name: 'style.css', type: 'css', content: files.read('style.css') },
    { name: 'page.js', type: 'js', content: files.read('page.js') },
  ])
  const common = { brand, issuer, stylesheet: assets.urlOf('style.css'), script: assets.urlOf('page.js') }
  const words = (ctx: PageContext) => wordsOf(ctx, messages)

  const render: RenderPage = (ctx, name, values, formTargets = []) => {
    const { lang, ...spoken } = words(ctx)
    allowFormTargets(ctx, formTargets)
    ctx.vary('Accept-Language')
    ctx.set('Content-Language', lang)
    ctx.type = 'html'
    ctx.body = templates.draw(name, { ...common, lang, ...spoken, nonce: ctx.state.nonce, ...values })
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
