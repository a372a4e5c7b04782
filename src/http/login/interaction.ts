import Router from '@koa/router'
import type { Context } from 'koa'
import type { Client, Provider } from 'oidc-provider'
import type { RememberMe } from '../../accounts/remember-me.ts'
import { newEvent } from '../../audit/event.ts'
import type { Offers } from '../../config/config.ts'
import type { Vault } from '../../crypto/vault.ts'
import { describeClient, type ExtraClientMetadata } from '../../oidc/client/client-metadata.ts'
import { describeScopes, type MissingConsent } from '../../oidc/client/scopes.ts'
import { applyConsent, consentIn, isNarrowed, newGrant, whatIsAsked } from '../../oidc/consent.ts'
import { InvalidClient, ProofOutdatedError, SessionNotFound } from '../../oidc/engine/errors.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import { describeAuthentication, provenEpoch } from '../../oidc/session/authentication.ts'
import type { AccountStore } from '../../store/account/account.ts'
import type { ConsentStore } from '../../store/session/consent.ts'
import type { Pages, RenderPage } from '../../ui/view-models.ts'
import { preferLanguage } from '../pages/language.ts'
import { createCsrf } from '../transport/csrf.ts'
import type { AnswerLogin } from './login-form.ts'
import { createRememberCookies } from './remember-me.ts'
import type { SessionNotices } from './session-notice.ts'
import { offersAt } from './sign-in-path.ts'

type Needs = {
  issuer: string
  engine: () => Provider
  offers: Offers
  checkLogin: AnswerLogin
  rememberMe: RememberMe
  sessionNotices: SessionNotices
  accounts: AccountStore
  consents: ConsentStore
  vault: Vault
  render: RenderPage
}

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>
type ConsentGrant = InstanceType<Provider['Grant']>

/**
 * The pages between an app's request and its answer: sign-in and consent. The engine says which is due; what the
 * person decided is saved with the interaction, and the engine goes on from there.
 */
export function createInteractionRoutes({
  issuer,
  engine,
  offers,
  checkLogin,
  rememberMe,
  sessionNotices,
  accounts,
  consents,
  vault,
  render,
}: Needs): Router {
  const router = new Router({ prefix: '/interaction' })
  const csrf = createCsrf(vault, 'interaction csrf')
  const remembering = createRememberCookies(issuer)

  router.get('/:uid', async (ctx) => {
    const interaction = await findInteraction(ctx)
    if (interaction.prompt.name === 'consent') return await showConsent(ctx, interaction)
    const fresh = { username: loginHint(interaction), error: undefined, wantsRemembering: false }
    return await showLogin(ctx, interaction, fresh)
  })

  router.post('/:uid', async (ctx) => {
    const interaction = await findInteraction(ctx)
    csrf.verify(interaction.uid, formOf(ctx).get('csrf'))
    return interaction.prompt.name === 'consent'
      ? await answerConsent(ctx, interaction)
      : await answerLogin(ctx, interaction)
  })

  return router

  /** @throws {SessionNotFound} when the cookie is missing, of another interaction, or too old. */
  async function findInteraction(ctx: Context): Promise<Interaction> {
    try {
      const interaction = await engine().interactionDetails(ctx.req, ctx.res)
      if (interaction.uid === ctx.params.uid) {
        preferLanguage(ctx, interaction.params.ui_locales)
        return interaction
      }
      throw new SessionNotFound('interaction and cookie do not match')
    } catch (error) {
      if (error instanceof SessionNotFound) ctx.state.app = await findApp(String(ctx.params.uid))
      throw error
    }
  }

  async function showLogin(
    ctx: Context,
    interaction: Interaction,
    shown: Pick<Pages['login'], 'username' | 'error'> & { wantsRemembering: boolean },
  ): Promise<void> {
    const client = await findClient(interaction)
    const page: Pages['login'] = {
      csrf: csrf.tokenFor(interaction.uid),
      clientName: describeClient(client).name,
      username: shown.username,
      remember: !mayBeRemembered(client) ? undefined : shown.wantsRemembering ? 'ticked' : 'offered',
      notice: hasEnded(ctx, interaction) ? 'session-ended' : undefined,
      error: shown.error,
      offers: offersAt(offers, interaction.uid),
    }
    render(ctx, 'login', page, whereAppsGoOn(interaction, client))
  }

  async function answerLogin(ctx: Context, interaction: Interaction): Promise<void> {
    const isSpent = interaction.result !== undefined
    const answer = await checkLogin(ctx, String(interaction.params.client_id), { isSpent })
    if (isSpent) throw new SessionNotFound('the sign-in page was answered before')
    if (answer.outcome === 'refused') return await showLogin(ctx, interaction, answer)
    const { account, at } = answer
    const wantsRemembering = answer.wantsRemembering && mayBeRemembered(await findClient(interaction))
    await remembering.answer(ctx, rememberMe, { account, wantsRemembering })
    // The time is set here, so that passing the consent page later does not make the sign-in look newer.
    const { sub: accountId, accessEpoch } = account
    const login = { accountId, accessEpoch, ...describeAuthentication({ method: 'password', at }) }
    await finish(ctx, interaction, { login })
  }

  /** Somebody was signed in here, and is asked for no other reason than that they are not any more. */
  function hasEnded(ctx: Context, { prompt, session }: Interaction): boolean {
    return (
      sessionNotices.wasSignedIn(ctx) &&
      (session?.accountId === undefined || prompt.reasons.includes('session_limit'))
    )
  }

  /** Not on an app's page that refuses remembered people: they would tick in vain. */
  function mayBeRemembered(client: Client & ExtraClientMetadata): boolean {
    return rememberMe.isOffered && client.remember_me !== false
  }

  async function showConsent(ctx: Context, interaction: Interaction): Promise<void> {
    const { asked } = await findConsent(interaction)
    const account = await accounts.find(interaction.session?.accountId ?? '')
    if (!account) throw new SessionNotFound('the person who signed in is gone')
    const client = await findClient(interaction)
    const page = {
      csrf: csrf.tokenFor(interaction.uid),
      client: describeClient(client),
      accountLabel: account.username,
      scopes: describeScopes(asked),
    }
    render(ctx, 'consent', page, whereAppsGoOn(interaction, client))
  }

  async function answerConsent(ctx: Context, interaction: Interaction): Promise<void> {
    // Checked before the consent is stored: a person who cancelled must not have agreed.
    if (interaction.result !== undefined) throw new SessionNotFound('the consent page was answered before')
    const form = formOf(ctx)
    if (form.get('action') !== 'approve') {
      return await finish(ctx, interaction, {
        error: 'access_denied',
        error_description: 'the end-user refused',
      })
    }
    await findClient(interaction)
    const { grant, asked } = await findConsent(interaction)
    applyConsent(grant, asked, form.getAll('scope'))
    await rememberConsent(ctx, interaction, grant)
    const grantId = await grant.save()
    await finish(ctx, interaction, { consent: { grantId } })
  }

  /** Before the grant is stored: an answer that takes something back ends the grants of before, this one's too. */
  async function rememberConsent(ctx: Context, { session }: Interaction, grant: ConsentGrant): Promise<void> {
    const { accountId: accountSub, clientId } = grant
    if (!accountSub || !clientId) return
    const before = await consents.find(accountSub, clientId)
    const consent = consentIn(grant, before)
    const detail = { granted: consent.granted, refused: consent.rejected }
    const about = { accountSub, clientId, sessionUid: session?.uid, detail }
    const accessEpoch = provenEpoch(accountSub)
    const isStored = await consents.upsert(
      { accountSub, clientId, consent, isNarrowed: isNarrowed(before, consent), accessEpoch },
      newEvent('consent.given', about, originOf(ctx)),
    )
    if (!isStored)
      throw new ProofOutdatedError('the person was signed out everywhere while the page was shown')
  }

  async function findConsent(interaction: Interaction) {
    const existing = interaction.grantId ? await engine().Grant.find(interaction.grantId) : undefined
    const grant = existing ?? makeGrant(interaction)
    return { grant, asked: whatIsAsked(interaction.prompt.details as MissingConsent, grant) }
  }

  /** The app that a page which is over belonged to: if nothing else, people can go back there. */
  async function findApp(uid: string): Promise<Pages['error']['app']> {
    const { Interaction, Client } = engine()
    const interaction = await Interaction.find(uid, { ignoreExpiration: true })
    const client = interaction && (await Client.find(String(interaction.params.client_id)))
    return client?.clientUri === undefined
      ? undefined
      : { name: describeClient(client).name, uri: client.clientUri }
  }

  /** A device gets a grant of its own: ending it ends nothing else. */
  function makeGrant({ session, params, deviceCode }: Interaction): ConsentGrant {
    const { accountId } = session ?? {}
    const clientId = String(params.client_id)
    return session && accountId !== undefined && deviceCode === undefined
      ? newGrant(engine(), { accountId, clientId, session })
      : new (engine().Grant)({ accountId, clientId })
  }

  /** @throws {InvalidClient} when the client was deleted while the page was shown: a retry cannot succeed. */
  async function findClient(interaction: Interaction): Promise<Client> {
    const client = await engine().Client.find(String(interaction.params.client_id))
    if (!client) throw new InvalidClient('the client is gone')
    return client
  }
}

/** Saves what the person decided, beside what they decided on an earlier page, and goes back to the engine. */
async function finish(
  ctx: Context,
  interaction: Interaction,
  result: NonNullable<Interaction['result']>,
): Promise<void> {
  interaction.result = 'error' in result ? result : { ...interaction.lastSubmission, ...result }
  await interaction.persist()
  ctx.status = 303
  ctx.redirect(interaction.returnTo)
}

function loginHint({ params }: Interaction): string {
  return typeof params.login_hint === 'string' ? params.login_hint.slice(0, 256) : ''
}

/** Where the answer leads: the redirect URI of this request, and the app's home, which many apps send people on to. */
function whereAppsGoOn({ params }: Interaction, { clientUri }: Client): (string | undefined)[] {
  return [typeof params.redirect_uri === 'string' ? params.redirect_uri : undefined, clientUri]
}
