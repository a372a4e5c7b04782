import { createHash } from 'node:crypto'
import type { Middleware } from 'koa'
import { DAY_SECONDS } from '../../time.ts'

/** An SVG that is opened by itself is a document: its scripts would run on this origin. */
const INERT = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

type Asset = { name: string; type: string; content: Buffer | string }

/** The stylesheet, script and logo, each at a URL that changes with its content. */
export function createAssets(assets: readonly Asset[]) {
  const byPath = new Map(
    assets.map(({ name, type, content }) => {
      const version = createHash('sha256').update(content).digest('base64url').slice(0, 12)
      const path = `/assets/${name}`
      return [path, { type, content, etag: `"${version}"`, url: `${path}?v=${version}` }]
    }),
  )

  const serve: Middleware = (ctx, next) => {
    const asset = byPath.get(ctx.path)
    if (!asset || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    ctx.set('Cache-Control', `public, max-age=${DAY_SECONDS}`)
    ctx.set('ETag', asset.etag)
    ctx.type = asset.type
    if (asset.type === 'svg') ctx.set('Content-Security-Policy', INERT)
    ctx.status = 200
    if (ctx.fresh) ctx.status = 304
    else ctx.body = asset.content
    return undefined
  }

  return {
    /** @throws when there is no asset of that name. */
    urlOf(name: string): string {
      const asset = byPath.get(`/assets/${name}`)
      if (!asset) throw new Error(`there is no asset ${name}`)
      return asset.url
    },
    serve,
  }
}
