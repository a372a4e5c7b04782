/*
 * Room http/login/: the pages of an authorization request, sign-in and consent (this file). Beside them: the check of the
 * login form, the remember-me, device and session-notice cookies, and the restart of expired requests.
 */

import Router from '@koa/router'
import type { Context } from 'koa'
import type { Client, Provider } from 'oidc-provider'
import { newEvent } from '../../audit/event.ts'
import type { Offers } from '../../config/config.ts'
import type { Vault } from '../../crypto/vault.ts'
import { describeClient, type ExtraClientMetadata } from '../../oidc/client/client-metadata.ts'
import { describeScopes, type MissingConsent } from '../../oidc/client/scopes.ts'
import { applyConsent, consentIn, isNarrowed, newGrant, promptedScopes } from '../../oidc/consent.ts'
import { InvalidClient, ProofOutdatedError, SessionNotFound } from '../../oidc/engine/errors.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import { describeAuthentication, provenEpoch } from '../../oidc/session/authentication.ts'
import type { Stores } from '../../store/stores.ts'
import type { Pages, RenderPage } from '../../ui/view-models.ts'
import { preferLanguage } from '../pages/language.ts'
import { createCsrf } from '../transport/csrf.ts'
import type { SignInParts } from './sign-in-parts.ts'
import { selfServiceLinks } from './sign-in-path.ts'

type Needs = {
  engine: () => Provider
  offers: Offers
  signIn: SignInParts
  stores: Pick<Stores, 'accounts' | 'consents'>
  vault: Vault
  render: RenderPage
}

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>
type ConsentGrant = InstanceType<Provider['Grant']>

/**
 * The sign-in and consent pages. The engine decides which one is due; the person's answer is saved with the interaction,
 * and the engine continues with it.
 */
export function createInteractionRoutes({ engine, offers, signIn, stores, vault, render }: Needs): Router {
  const { checkLogin, rememberMe, rememberCookies, sessionNotices } = signIn
  const { accounts, consents } = stores
  const router = new Router({ prefix: '/interaction' })
  const csrf = createCsrf(vault, 'interaction csrf')

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

  /** @throws {SessionNotFound} when the cookie is missing, expired or belongs to another interaction. */
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
      offers: selfServiceLinks(offers, interaction.uid),
    }
    render(ctx, 'login', page, formTargets(interaction, client))
  }

  async function answerLogin(ctx: Context, interaction: Interaction): Promise<void> {
    const isSpent = interaction.result !== undefined
    const answer = await checkLogin(ctx, String(interaction.params.client_id), { isSpent })
    if (isSpent) throw new SessionNotFound('the sign-in page was answered before')
    if (answer.outcome === 'refused') return await showLogin(ctx, interaction, answer)
    const { account, at } = answer
    const wantsRemembering = answer.wantsRemembering && mayBeRemembered(await findClient(interaction))
    // The time is set here: a later consent does not make the sign-in look newer.
    const { sub: accountId, accessEpoch } = account
    const login = { accountId, accessEpoch, ...describeAuthentication({ method: 'password', at }) }
    await finish(ctx, interaction, { login })
    // After `finish`, which accepts one of several concurrent answers: the others must not store a browser.
    await rememberCookies.rememberOrForget(ctx, rememberMe, { account, wantsRemembering })
  }

  /** Whether the person must sign in because their session ended, and for no other reason. */
  function hasEnded(ctx: Context, { prompt, session }: Interaction): boolean {
    return (
      sessionNotices.wasSignedIn(ctx) &&
      (session?.accountId === undefined || prompt.reasons.includes('session_limit'))
    )
  }

  /** Not for a client that rejects remembered sessions: the choice would have no effect there. */
  function mayBeRemembered(client: Client & ExtraClientMetadata): boolean {
    return rememberMe.isOffered && client.remember_me !== false
  }

  async function showConsent(ctx: Context, interaction: Interaction): Promise<void> {
    const { prompted } = await findConsent(interaction)
    const account = await accounts.find(interaction.session?.accountId ?? '')
    if (!account) throw new SessionNotFound('the account was deleted')
    const client = await findClient(interaction)
    const page = {
      csrf: csrf.tokenFor(interaction.uid),
      client: describeClient(client),
      accountLabel: account.username,
      scopes: describeScopes(prompted),
    }
    render(ctx, 'consent', page, formTargets(interaction, client))
  }

  async function answerConsent(ctx: Context, interaction: Interaction): Promise<void> {
    // Checked before the consent is stored: a request that was cancelled must store none.
    if (interaction.result !== undefined) throw new SessionNotFound('the consent page was answered before')
    const form = formOf(ctx)
    if (form.get('action') !== 'approve') {
      return await finish(ctx, interaction, {
        error: 'access_denied',
        error_description: 'the end-user refused',
      })
    }
    await findClient(interaction)
    const { grant, prompted } = await findConsent(interaction)
    applyConsent(grant, prompted, form.getAll('scope'))
    await rememberConsent(ctx, interaction, grant)
    const grantId = await grant.save()
    await finish(ctx, interaction, { consent: { grantId } })
  }

  /** Runs before the grant is stored, because a narrowed consent revokes the stored grants of the client. */
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
    return { grant, prompted: promptedScopes(interaction.prompt.details as MissingConsent, grant) }
  }

  /** The client of an expired page, so that the error page can link to it. */
  async function findApp(uid: string): Promise<Pages['error']['app']> {
    const { Interaction, Client } = engine()
    const interaction = await Interaction.find(uid, { ignoreExpiration: true })
    const client = interaction && (await Client.find(String(interaction.params.client_id)))
    return client?.clientUri === undefined
      ? undefined
      : { name: describeClient(client).name, uri: client.clientUri }
  }

  /** A device gets its own grant, so that it can be revoked alone. */
  function makeGrant({ session, params, deviceCode }: Interaction): ConsentGrant {
    const { accountId } = session ?? {}
    const clientId = String(params.client_id)
    return session && accountId !== undefined && deviceCode === undefined
      ? newGrant(engine(), { accountId, clientId, session })
      : new (engine().Grant)({ accountId, clientId })
  }

  /** @throws {InvalidClient} when the client was deleted while the page was shown. */
  async function findClient(interaction: Interaction): Promise<Client> {
    const client = await engine().Client.find(String(interaction.params.client_id))
    if (!client) throw new InvalidClient('the client was deleted')
    return client
  }
}

/** Saves the answer beside those of earlier pages, and redirects to the engine. */
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

/** Form targets that the page's CSP allows: the redirect URI, and the client's home page, where many clients redirect to. */
function formTargets({ params }: Interaction, { clientUri }: Client): (string | undefined)[] {
  return [typeof params.redirect_uri === 'string' ? params.redirect_uri : undefined, clientUri]
}
