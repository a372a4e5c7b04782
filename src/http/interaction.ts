import Router from '@koa/router'
import type { Context } from 'koa'
import type { Client, Provider } from 'oidc-provider'
import { z } from 'zod'
import type { VerifySignIn } from '../accounts/sign-in.ts'
import type { Log } from '../log.ts'
import { applyConsent, consentIn, describeScopes, type MissingConsent, whatIsAsked } from '../oidc/consent.ts'
import { InvalidClient, SessionNotFound } from '../oidc/errors.ts'
import { describeClient, type Pages, type RenderPage } from '../oidc/pages.ts'
import type { AccountStore } from '../store/account.ts'
import type { ConsentStore } from '../store/consent.ts'
import { type Clock, toEpochSeconds } from '../time.ts'
import type { Vault } from '../vault.ts'
import { createCsrf } from './csrf.ts'
import { formOf } from './guards.ts'

const RETRY_AFTER_SECONDS = 5

type Needs = {
  engine: () => Provider
  signIn: VerifySignIn
  accounts: AccountStore
  consents: ConsentStore
  vault: Vault
  render: RenderPage
  log: Log
  now: Clock
}

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>
type ConsentGrant = InstanceType<Provider['Grant']>

const credentials = z.object({
  username: z.string().trim().min(1).max(256),
  password: z.string().min(1).max(4096),
})

/**
 * The pages between an app's request and its answer: sign-in and consent. The engine says which is due; what the
 * person decided is saved with the interaction, and the engine goes on from there.
 */
export function createInteractionRoutes({
  engine,
  signIn,
  accounts,
  consents,
  vault,
  render,
  log,
  now,
}: Needs): Router {
  const router = new Router({ prefix: '/interaction' })
  const csrf = createCsrf(vault)

  router.get('/:uid', async (ctx) => {
    const interaction = await findInteraction(ctx)
    if (interaction.prompt.name === 'consent') return await showConsent(ctx, interaction)
    return await showLogin(ctx, interaction, { username: loginHint(interaction), error: undefined })
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
    const interaction = await engine().interactionDetails(ctx.req, ctx.res)
    if (interaction.uid !== ctx.params.uid) throw new SessionNotFound('interaction and cookie do not match')
    return interaction
  }

  async function showLogin(
    ctx: Context,
    interaction: Interaction,
    { username, error }: Pick<Pages['login'], 'username' | 'error'>,
  ): Promise<void> {
    const client = await findClient(interaction)
    const page = {
      csrf: csrf.tokenFor(interaction.uid),
      clientName: describeClient(client).name,
      username,
      error,
    }
    render(ctx, 'login', page, whereAppsGoOn(interaction, client))
  }

  async function answerLogin(ctx: Context, interaction: Interaction): Promise<void> {
    const form = formOf(ctx)
    const typed = form.get('username') ?? ''
    const parsed = credentials.safeParse({ username: typed, password: form.get('password') })
    const result = parsed.success
      ? await signIn(parsed.data.username, parsed.data.password)
      : ({ outcome: 'invalid' } as const)
    const fields = {
      event: 'sign_in',
      request: ctx.state.requestId,
      client: interaction.params.client_id,
      address: ctx.ip,
    }
    switch (result.outcome) {
      case 'accepted': {
        log.info({ ...fields, outcome: 'accepted', account: result.sub })
        // The time is set here, so that passing the consent page later does not make the sign-in look newer.
        const login = { accountId: result.sub, ts: toEpochSeconds(now()), amr: ['pwd'] }
        return await finish(ctx, interaction, { login })
      }
      case 'busy':
        log.warn({ ...fields, outcome: 'busy' })
        ctx.status = 503
        ctx.set('Retry-After', String(RETRY_AFTER_SECONDS))
        return await showLogin(ctx, interaction, { username: typed.slice(0, 256), error: 'busy' })
      case 'rejected':
      case 'invalid':
        log.info({ ...fields, outcome: result.outcome })
        ctx.status = 400
        return await showLogin(ctx, interaction, { username: typed.slice(0, 256), error: result.outcome })
    }
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
    const form = formOf(ctx)
    if (form.get('action') !== 'approve') {
      return await finish(ctx, interaction, {
        error: 'access_denied',
        error_description: 'the end-user refused',
      })
    }
    const { grant, asked } = await findConsent(interaction)
    applyConsent(grant, asked, form.getAll('scope'))
    const grantId = await grant.save()
    await rememberConsent(grant)
    await finish(ctx, interaction, { consent: { grantId } })
  }

  async function rememberConsent(grant: ConsentGrant): Promise<void> {
    const { accountId, clientId } = grant
    if (!accountId || !clientId) return
    await consents.upsert(accountId, clientId, consentIn(grant, await consents.find(accountId, clientId)))
  }

  async function findConsent(interaction: Interaction) {
    const { Grant } = engine()
    const accountId = interaction.session?.accountId
    const existing = interaction.grantId ? await Grant.find(interaction.grantId) : undefined
    const grant = existing ?? new Grant({ accountId, clientId: String(interaction.params.client_id) })
    return { grant, asked: whatIsAsked(interaction.prompt.details as MissingConsent, grant) }
  }

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
