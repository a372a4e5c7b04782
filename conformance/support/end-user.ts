import { type CheerioAPI, load } from 'cheerio'
import { CookieJar } from 'tough-cookie'
import { PASSWORD } from './harness.ts'

/** A page, or a redirect to another server, as a browser without JavaScript sees it. */
export type Page = Readonly<{
  url: string
  status: number
  headers: Headers
  html: string
  $: CheerioAPI
  /** The target of a redirect to another server. */
  leftTo: URL | undefined
}>

type Fields = Readonly<Record<string, string | readonly string[]>>

/**
 * An end-user's browser without JavaScript: keeps cookies, follows redirects within the server, and submits the forms
 * of the pages.
 */
export class EndUser {
  readonly jar: CookieJar
  readonly origin: string
  /** The origin that receives the requests: it may be another instance than the issuer names. */
  readonly target: string
  headers: Record<string, string> = {}
  /** Every `Set-Cookie` header so far. */
  readonly cookiesSet: string[] = []

  constructor(origin: string, target = origin, jar = new CookieJar()) {
    this.origin = origin
    this.target = target
    this.jar = jar
  }

  async open(url: string | URL): Promise<Page> {
    return await this.#request(new URL(url, this.origin), { method: 'GET' })
  }

  /** Submits the form that has the button `action=…`, or the first form, with the given fields. */
  async submit(page: Page, fields: Fields = {}, action?: string): Promise<Page> {
    const { $ } = page
    const forms = $('form')
    const form =
      action === undefined
        ? forms.first()
        : forms
            .filter((_, element) => $(element).find(`button[name=action][value=${action}]`).length > 0)
            .first()
    if (form.length === 0)
      throw new Error(`no form to submit on ${page.url} (${page.status}): ${page.html.slice(0, 2000)}`)
    const body = new URLSearchParams()
    for (const { name, value } of form.serializeArray()) if (!(name in fields)) body.append(name, value)
    for (const [name, value] of Object.entries(fields))
      for (const item of [value].flat()) body.append(name, item)
    if (action !== undefined) body.set('action', action)
    return await this.post(new URL(form.attr('action') ?? '', page.url), body)
  }

  async post(url: string | URL, body: URLSearchParams): Promise<Page> {
    return await this.#request(new URL(url, this.origin), {
      method: 'POST',
      body: body.toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: this.origin },
    })
  }

  /** Signs in and consents where asked, until the browser is redirected to the app. */
  async signInAndAgree(
    url: string | URL,
    { username = 'ada', password = PASSWORD }: { username?: string; password?: string } = {},
  ): Promise<Page> {
    let page = await this.open(url)
    if (page.$('input[name=password]').length > 0) page = await this.submit(page, { username, password })
    if (page.$('button[name=action][value=approve]').length > 0) page = await this.submit(page, {}, 'approve')
    return page
  }

  cookie(name: string): string | undefined {
    return this.jar.getCookiesSync(this.origin).find(({ key }) => key === name)?.value
  }

  async #request(
    url: URL,
    init: { method: string; body?: string; headers?: Record<string, string> },
  ): Promise<Page> {
    let next: { url: URL; init: typeof init } = { url, init }
    for (let hops = 0; hops < 12; hops++) {
      const { url: current } = next
      const cookies = await this.jar.getCookieString(current.href)
      const response = await fetch(new URL(current.pathname + current.search, this.target), {
        ...next.init,
        redirect: 'manual',
        headers: {
          accept: 'text/html',
          ...this.headers,
          ...(cookies ? { cookie: cookies } : {}),
          ...next.init.headers,
        },
      })
      for (const cookie of response.headers.getSetCookie()) {
        this.cookiesSet.push(cookie)
        await this.jar.setCookie(cookie, current.href)
      }
      const html = await response.text()
      const location = response.headers.get('location')
      const isRedirect = response.status >= 300 && response.status < 400 && location !== null
      const destination = isRedirect ? new URL(location, current) : undefined
      if (destination?.origin === this.origin) {
        next = { url: destination, init: { method: 'GET' } }
        continue
      }
      let parsed: CheerioAPI | undefined
      return {
        url: current.href,
        status: response.status,
        headers: response.headers,
        html,
        // Parsed on demand: most pages are only passed through.
        get $() {
          parsed ??= load(html)
          return parsed
        },
        leftTo: destination,
      }
    }
    throw new Error(`too many redirects from ${url.href}`)
  }
}
