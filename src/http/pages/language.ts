import { parseAcceptLanguage, parseUiLocales } from '../../ui/language.ts'
import type { Messages } from '../../ui/messages.ts'
import type { PageContext } from '../../ui/view-models.ts'
import type { Words } from '../../ui/words.ts'

/**
 * The words that a request is answered in, the same for all that it shows: the language that the app asked for
 * (`ui_locales`, OpenID Connect Core §3.1.2.1), else the browser's, else English.
 */
export function wordsOf(ctx: PageContext, messages: Messages): Words {
  ctx.state.words ??= messages.for([...uiLocalesOf(ctx), ...parseAcceptLanguage(ctx.get('accept-language'))])
  return ctx.state.words
}

/** Pages of an interaction are shown in the language of the request that began it. */
export function preferLanguage(ctx: Pick<PageContext, 'state'>, uiLocales: unknown): void {
  ctx.state.uiLocales = uiLocales
}

function uiLocalesOf({ state, query, oidc }: PageContext): string[] {
  return parseUiLocales(state.uiLocales ?? query.ui_locales ?? oidc?.params?.ui_locales)
}
