import Router from '@koa/router'
import type { Context } from 'koa'
import {
  chosenUsername,
  displayName,
  emailAddress,
  type Registration,
  type RegistrationLink,
} from '../../accounts/registration.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { RequestedMail } from '../../rate-limiting/mail-rate-limit.ts'
import type { Pages, RegistrationOnPage } from '../../ui/view-models.ts'
import { interactionOf, signInPath, withInteraction } from '../login/sign-in-path.ts'
import { seeOther, type Views } from '../pages/views.ts'
import type { FormBinding } from './form-binding.ts'
import { keyOf, type OpenedLinks } from './mail-link.ts'
import { answerRefused, isRefused, type NewPasswordForm, type RefusedPassword } from './new-password.ts'

const REGISTER = '/account/register'
/** Longer input is cut when the form is shown again. */
const MAX_SHOWN_CHARACTERS = 256

type Needs = {
  registration: Registration
  formBinding: FormBinding
  openedLinks: OpenedLinks
  newPassword: NewPasswordForm
  views: Pick<Views, 'render' | 'words'>
}

type Errors = RegistrationOnPage['errors']

/** "Create an account", and the page that the mailed link leads to. */
export function createRegistrationRoutes(needs: Needs): Router {
  const { registration, formBinding, openedLinks, newPassword, views } = needs
  const router = new Router({ prefix: REGISTER })

  router.get('/', (ctx) => showForm(ctx, {}))

  router.post('/', async (ctx) => {
    formBinding.verify(ctx)
    const { username, name, errors: inNames } = readNames(ctx)
    const email = emailAddress.safeParse(typed(ctx, 'email'))
    const errors: Errors = { ...inNames, ...(email.success ? {} : { email: 'email' }) }
    if (!email.success || Object.keys(errors).length > 0) {
      ctx.status = 400
      return showForm(ctx, errors)
    }
    const hash = await newPassword.admit(ctx, undefined)
    if (isRefused(hash)) return showForm(ctx, errorsOf(ctx, hash))
    const mail: RequestedMail = { purpose: 'registration', to: email.data, share: { of: 'anybody' } }
    const counted = await formBinding.count(ctx, mail)
    if (counted === 'refused') return showForm(ctx, { form: 'throttled' })
    // Hash for known addresses too: a faster answer would reveal that an account exists (CWE-204).
    const passwordHash = await hash({ username, email: email.data, profile: { name } })
    if (isRefused(passwordHash)) {
      if (counted === 'allowed') await formBinding.giveBack(mail)
      return showForm(ctx, errorsOf(ctx, passwordHash))
    }
    const request = {
      email: email.data,
      username,
      name,
      passwordHash,
      requester: formBinding.requesterOf(ctx),
    }
    const about = { language: views.words(ctx).lang, origin: originOf(ctx) }
    await registration.request(request, { ...about, isDropped: counted === 'dropped' })
    seeOther(ctx, withInteraction(`${REGISTER}/asked`, interactionOf(ctx)))
  })

  router.post('/advice', async (ctx) => {
    formBinding.verify(ctx)
    const owner = { username: typed(ctx, 'username'), email: typed(ctx, 'email') }
    await newPassword.advise(ctx, { ...owner, profile: { name: typed(ctx, 'name') } })
  })

  router.get('/asked', (ctx) =>
    views.render(ctx, 'mail-asked', { what: 'registration', signIn: signInPath(interactionOf(ctx)) }),
  )

  router.get('/confirm', async (ctx) => {
    const link = await openedLinks.find(ctx, 'registration')
    if (!link) return
    const { username, name = '' } = link.request
    showConfirm(ctx, link, { username, name, errors: {} })
  })

  router.post('/confirm', async (ctx) => {
    const link = await openedLinks.find(ctx, 'registration')
    if (!link) return
    const { username, name, errors } = readNames(ctx)
    const shown = { username: typed(ctx, 'username'), name: typed(ctx, 'name') }
    if (Object.keys(errors).length > 0) {
      ctx.status = 400
      return showConfirm(ctx, link, { ...shown, errors })
    }
    const hash = await newPassword.admit(ctx, keyOf(link))
    if (isRefused(hash)) return showConfirm(ctx, link, { ...shown, errors: errorsOf(ctx, hash) })
    // Checked before hashing. The database decides between two concurrent registrations.
    if (!(await registration.isFree(username))) return showTaken(ctx, link, shown)
    const { email, requester } = link.request
    const isSameBrowser = formBinding.isSameBrowser(ctx, requester)
    const passwordHash = isSameBrowser
      ? link.request.passwordHash
      : await hash({ username, email, profile: { name } })
    if (isRefused(passwordHash))
      return showConfirm(ctx, link, { ...shown, errors: errorsOf(ctx, passwordHash) })
    const outcome = await registration.confirm(link, { username, name, passwordHash }, originOf(ctx))
    if (outcome === 'over') return openedLinks.showInvalidLink(ctx)
    if (outcome === 'taken') return showTaken(ctx, link, shown)
    openedLinks.close(ctx)
    seeOther(ctx, withInteraction(`${REGISTER}/done`, isSameBrowser ? requester.interaction : undefined))
  })

  router.post('/confirm/advice', async (ctx) => {
    const link = await openedLinks.find(ctx, 'registration')
    if (!link) return
    const owner = { username: typed(ctx, 'username'), email: link.request.email }
    await newPassword.advise(ctx, { ...owner, profile: { name: typed(ctx, 'name') } })
  })

  router.get('/done', (ctx) =>
    views.render(ctx, 'self-service-done', { what: 'registered', next: signInPath(interactionOf(ctx)) }),
  )

  return router

  function showForm(ctx: Context, errors: Errors): void {
    views.render(ctx, 'register', {
      csrf: formBinding.open(ctx),
      email: typed(ctx, 'email'),
      username: typed(ctx, 'username'),
      name: typed(ctx, 'name'),
      errors,
      signIn: signInPath(interactionOf(ctx)),
    })
  }

  function showTaken(
    ctx: Context,
    link: RegistrationLink,
    shown: Pick<Pages['register-confirm'], 'username' | 'name'>,
  ): void {
    ctx.status = 400
    showConfirm(ctx, link, { ...shown, errors: { username: 'taken' } })
  }

  function showConfirm(
    ctx: Context,
    { request }: RegistrationLink,
    shown: Pick<Pages['register-confirm'], 'username' | 'name' | 'errors'>,
  ): void {
    views.render(ctx, 'register-confirm', {
      csrf: openedLinks.csrfTokenFor(ctx),
      email: request.email,
      // The password of the request counts only in the browser that chose it.
      asksPassword: !formBinding.isSameBrowser(ctx, request.requester),
      ...shown,
    })
  }
}

const typed = (ctx: Context, name: string): string =>
  (formOf(ctx).get(name) ?? '').trim().slice(0, MAX_SHOWN_CHARACTERS)

function readNames(ctx: Context): { username: string; name: string | undefined; errors: Errors } {
  const username = chosenUsername.safeParse(typed(ctx, 'username'))
  const name = displayName.safeParse(typed(ctx, 'name'))
  const errors: Errors = {
    ...(username.success ? {} : { username: 'username' }),
    ...(name.success ? {} : { name: 'name' }),
  }
  return { username: username.data ?? '', name: name.data || undefined, errors }
}

function errorsOf(ctx: Context, refused: RefusedPassword): Errors {
  const { error, rule } = answerRefused(ctx, refused)
  return error === 'rule' ? { password: rule } : { form: error }
}
