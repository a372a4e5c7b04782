import type { Messages } from '../../ui/messages.ts'
import type { PageContext } from '../../ui/view-models.ts'
import type { Words } from '../../ui/words.ts'

/** The words for a response: one language for the whole request. */
export function wordsOf(ctx: PageContext, messages: Messages): Words {
  ctx.state.words ??= messages.for(preferredLanguages(ctx))
  return ctx.state.words
}

/** Sets the language of an interaction's pages: that of the authorization request. */
export function preferLanguage(ctx: Pick<PageContext, 'state'>, uiLocales: unknown): void {
  ctx.state.uiLocales = uiLocales
}

/**
 * The language tags of a request, the best first: those of the app (`ui_locales`, OpenID Connect Core §3.1.2.1), then
 * those of the browser (`Accept-Language`, RFC 9110 §12.5.4). They may be invalid.
 */
export function preferredLanguages(ctx: PageContext): string[] {
  const uiLocales: unknown = ctx.state.uiLocales ?? ctx.query.ui_locales ?? ctx.oidc?.params?.ui_locales
  return [...(typeof uiLocales === 'string' ? uiLocales.split(/\s+/) : []), ...ctx.acceptsLanguages()]
}
