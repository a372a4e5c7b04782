import type { Context } from 'koa'

/** Only to pages of ours, named in the code: nothing that a request says leads anywhere (OWASP ASVS 3.7.2). */
export function seeOther(ctx: Context, path: string): void {
  ctx.status = 303
  ctx.redirect(path)
}
