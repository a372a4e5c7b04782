import Router from '@koa/router'
import type { Context } from 'koa'
import type { EmailChange, EmailLink } from '../../accounts/email-change.ts'
import { emailAddress } from '../../accounts/registration.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { Account } from '../../store/account/account.ts'
import type { Pages, SignInError } from '../../ui/view-models.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import { seeOther, type Views } from '../pages/views.ts'
import type { FormBinding } from './form-binding.ts'
import type { OpenedLinks } from './mail-link.ts'
import type { SignedInUser, SignedInUsers } from './signed-in-user.ts'

const HOME = '/account'
const ASKED = `${HOME}?done=email-asked`

type Needs = {
  emailChange: EmailChange
  formBinding: FormBinding
  openedLinks: OpenedLinks
  users: SignedInUsers
  signIn: Pick<SignInParts, 'checkLogin'>
  views: Pick<Views, 'render' | 'words'>
}

type Found = { link: EmailLink; account: Account }

/** Changes and verifies the e-mail address of an account; the mailed link opens `/account/email/confirm`. */
export function createEmailChangeRoutes(needs: Needs): Router {
  const { emailChange, formBinding, openedLinks, users, signIn, views } = needs
  const router = new Router({ prefix: `${HOME}/email` })
  const find = (ctx: Context) => openedLinks.findWithAccount(ctx, 'verification', 'email_change')
  const aboutOf = (ctx: Context) => ({ language: views.words(ctx).lang, origin: originOf(ctx) })

  router.get(
    '/',
    users.only(async (ctx, user) => showForm(ctx, user, { typed: '', error: undefined })),
  )

  router.post(
    '/',
    users.only(async (ctx, user) => {
      const { account } = user
      const typed = (formOf(ctx).get('email') ?? '').trim()
      const email = emailAddress.safeParse(typed)
      if (!email.success) {
        ctx.status = 400
        return showForm(ctx, user, { typed: typed.slice(0, 256), error: 'email' })
      }
      if (!(await users.confirm(ctx, user, ['email']))) return
      const counted = await count(ctx, account, email.data)
      if (counted === 'refused') return showForm(ctx, user, { typed, error: 'throttled' })
      const about = { ...aboutOf(ctx), isDropped: counted === 'dropped' }
      // A person may verify their own unverified address, in any spelling.
      if (account.email === email.data && !account.emailVerified)
        await emailChange.requestVerification(account, email.data, about)
      else await emailChange.requestChange(account, email.data, about)
      seeOther(ctx, ASKED)
    }),
  )

  router.post(
    '/verification',
    users.only(async (ctx, user) => {
      const { email, emailVerified } = user.account
      if (email === undefined || emailVerified) return seeOther(ctx, HOME)
      const counted = await count(ctx, user.account, email)
      if (counted === 'refused') return showForm(ctx, user, { typed: '', error: 'throttled' })
      const isDropped = counted === 'dropped'
      await emailChange.requestVerification(user.account, email, { ...aboutOf(ctx), isDropped })
      seeOther(ctx, ASKED)
    }),
  )

  router.get('/confirm', async (ctx) => {
    const found = await find(ctx)
    if (!found) return
    showConfirm(ctx, found, { asksPassword: !(await isOwner(ctx, found.account)), error: undefined })
  })

  router.post('/confirm', async (ctx) => {
    const found = await find(ctx)
    if (!found) return
    if (!(await isOwner(ctx, found.account))) {
      const answer = await checkPassword(ctx, found.account)
      if (answer.outcome === 'refused')
        return showConfirm(ctx, found, { asksPassword: true, error: answer.error })
    }
    if ((await emailChange.confirm(found.link, found.account, aboutOf(ctx))) !== 'done')
      return openedLinks.showInvalidLink(ctx)
    openedLinks.close(ctx)
    seeOther(ctx, `${HOME}/email/done`)
  })

  router.get('/done', (ctx) => views.render(ctx, 'self-service-done', { what: 'email', next: HOME }))

  return router

  function count(ctx: Context, { sub }: Account, to: string): ReturnType<FormBinding['count']> {
    return formBinding.count(ctx, { purpose: 'address', to, share: { of: 'signed-in', sub } })
  }

  /** Whether this browser is signed in to that account. The link alone proves only access to the mailbox. */
  async function isOwner(ctx: Context, { sub }: Account): Promise<boolean> {
    return (await users.find(ctx))?.account.sub === sub
  }

  /** Checks the password of that account under all rate limits of sign-in, without starting a session. */
  async function checkPassword(
    ctx: Context,
    { sub, username }: Account,
  ): Promise<{ outcome: 'accepted' } | { outcome: 'refused'; error: SignInError | undefined }> {
    // The session ended after the page was shown without a password field.
    if (!formOf(ctx).has('password')) {
      ctx.status = 403
      return { outcome: 'refused', error: undefined }
    }
    const answer = await signIn.checkLogin(ctx, undefined, { username, isForSession: false })
    if (answer.outcome === 'refused') return answer
    if (answer.account.sub === sub) return { outcome: 'accepted' }
    ctx.status = 400
    return { outcome: 'refused', error: 'rejected' }
  }

  function showForm(
    ctx: Context,
    user: SignedInUser,
    shown: Pick<Pages['email-change'], 'typed' | 'error'>,
  ): void {
    const { email } = user.account
    views.render(ctx, 'email-change', { csrf: users.csrfTokenFor(user), email, ...shown })
  }

  function showConfirm(
    ctx: Context,
    { link, account }: Found,
    shown: Pick<Pages['email-confirm'], 'asksPassword' | 'error'>,
  ): void {
    views.render(ctx, 'email-confirm', {
      csrf: openedLinks.csrfTokenFor(ctx),
      email: link.request.email,
      username: account.username,
      ...shown,
    })
  }
}
