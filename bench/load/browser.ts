import { load } from 'cheerio'
import { CookieJar } from 'tough-cookie'
import type { Person } from '../contenders/contender.ts'

const MOST_HOPS = 12

export type Browser = Readonly<{
  /** Opens an authorization request and submits the sign-in and consent forms. @returns the redirect to the app. */
  signIn(url: URL, person: Person): Promise<URL>
  /** The cookies that a request to this address carries. */
  cookiesFor(url: URL): string
}>

/**
 * A minimal browser without JavaScript, for sign-in and consent.
 *
 * @param always headers of every request.
 */
export function createBrowser(origin: string, always: Record<string, string>): Browser {
  const jar = new CookieJar()

  /** Follows redirects within the server. */
  async function open(
    url: URL,
    form?: URLSearchParams,
  ): Promise<{ url: URL; html: string; isAway: boolean }> {
    let request: RequestInit = form
      ? { method: 'POST', body: form, headers: { origin, 'sec-fetch-site': 'same-origin' } }
      : {}
    let current = url
    for (let hops = 0; hops < MOST_HOPS; hops++) {
      if (current.origin !== origin) return { url: current, html: '', isAway: true }
      const headers = {
        ...always,
        accept: 'text/html',
        cookie: await jar.getCookieString(current.href),
        ...request.headers,
      }
      const response = await fetch(current, { ...request, headers, redirect: 'manual' })
      for (const cookie of response.headers.getSetCookie()) await jar.setCookie(cookie, current.href)
      const html = await response.text()
      const location = response.headers.get('location')
      if (location === null) return { url: current, html, isAway: false }
      current = new URL(location, current)
      request = {}
    }
    throw new Error(`too many redirects from ${url.pathname}`)
  }

  return {
    async signIn(url, { username, password }) {
      let page = await open(url)
      for (let pages = 0; !page.isAway && pages < MOST_HOPS; pages++) {
        const $ = load(page.html)
        const form = $('form').last()
        if (form.length === 0) break
        const fields = new URLSearchParams()
        for (const { name, value } of form.serializeArray()) fields.append(name, value)
        if (form.find('input[name=password]').length > 0) {
          fields.set('username', username)
          fields.set('password', password)
        }
        if (form.find('button[name=action][value=approve]').length > 0) fields.set('action', 'approve')
        page = await open(new URL(form.attr('action') ?? '', page.url), fields)
      }
      if (!page.isAway) throw new Error(`${username} could not sign in: ${page.html.slice(0, 1000)}`)
      return page.url
    },
    cookiesFor: (url) => jar.getCookieStringSync(url.href),
  }
}
