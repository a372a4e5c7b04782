import Router from '@koa/router'
import type { Context } from 'koa'
import type { AccessItem, AccountAccess } from '../../accounts/access.ts'
import type { Offers } from '../../config/config.ts'
import { scopesIn } from '../../oidc/client/client-metadata.ts'
import { describeGranted } from '../../oidc/client/scopes.ts'
import { ROUTES } from '../../oidc/engine/endpoints.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { Account, AccountStore } from '../../store/account/account.ts'
import type { Connection } from '../../store/session/connection.ts'
import type { RenderPage } from '../../ui/view-models.ts'
import type { SignInParts } from '../login/sign-in-parts.ts'
import { parseUserAgent } from '../pages/user-agent.ts'
import { seeOther } from '../pages/views.ts'
import { causeOf, type SignedInUsers } from './signed-in-user.ts'

const HOME = '/account'
const DONE = ['ended', 'password', 'email-asked'] as const
/** A longer list helps no reader. */
const MOST_DEVICES = 50

type Needs = {
  accounts: AccountStore
  access: AccountAccess
  users: SignedInUsers
  offers: Offers
  signIn: Pick<SignInParts, 'browserSessions' | 'rememberCookies' | 'sessionNotices'>
  render: RenderPage
}

/**
 * The page that lists the sessions, devices and apps of a person, and revokes them (OWASP ASVS 7.5.2). Reading needs a
 * session. Revoking needs the password, unless it was given a moment ago.
 */
export function createOverviewRoutes(needs: Needs): Router {
  const { accounts, access, users, offers, signIn, render } = needs
  const router = new Router({ prefix: HOME })

  router.get(
    '/',
    users.only(async (ctx, user) => {
      const { account, session } = user
      const done = DONE.find((word) => word === ctx.query.done)
      const shown = await describe(account, session.uid)
      const csrf = users.csrfTokenFor(user)
      render(ctx, 'account', { csrf, done, emailChange: offers.emailChange, ...shown })
    }),
  )

  router.post(
    '/end',
    users.only(async (ctx, user) => {
      const item = itemIn(ctx)
      const actor = { by: 'person', origin: originOf(ctx) } as const
      const found = item && (await access.find(user.account.sub, item, actor))
      // The item ended by itself after the page was shown.
      if (!found) return seeOther(ctx, `${HOME}?done=ended`)
      if (!(await users.confirm(ctx, user, ['what', 'id']))) return
      await found.revoke()
      if (item.kind === 'browser' && item.id === user.session.uid) return leave(ctx)
      seeOther(ctx, `${HOME}?done=ended`)
    }),
  )

  router.post(
    '/sign-out-everywhere',
    users.only(async (ctx, user) => {
      if (!(await users.confirm(ctx, user))) return
      await accounts.signOut(user.account.sub, causeOf(ctx, 'signed_out_everywhere'))
      leave(ctx)
    }),
  )

  return router

  /** The session of this browser has ended: its cookies go with it. */
  function leave(ctx: Context): void {
    signIn.browserSessions.forget(ctx)
    signIn.rememberCookies.clear(ctx)
    signIn.sessionNotices.clear(ctx)
    seeOther(ctx, `${ROUTES.end_session}/success`)
  }

  async function describe({ sub, username, email, emailVerified }: Account, thisSessionUid: string) {
    const { browsers, remembered, devices, deviceCount, apps } = await access.list(sub, MOST_DEVICES)
    const inUse = new Set(browsers.map(({ rememberedId }) => rememberedId))
    return {
      username,
      email,
      emailVerified,
      browsers: browsers.map(({ uid, rememberedId, address, userAgent, startedAt, seenAt }) => ({
        id: uid,
        ...parseUserAgent(userAgent),
        address,
        since: startedAt,
        seen: seenAt,
        isThis: uid === thisSessionUid,
        rememberedUntil: remembered.find(({ id }) => id === rememberedId)?.expiresAt,
      })),
      remembered: remembered
        .filter(({ id }) => !inUse.has(id))
        .map(({ id, address, userAgent, createdAt, usedAt, expiresAt }) => ({
          id,
          ...parseUserAgent(userAgent),
          address,
          since: createdAt,
          seen: usedAt,
          isThis: false,
          rememberedUntil: expiresAt,
        })),
      devices: devices.map((device) => ({
        id: device.grantId,
        ...describeConnection(device),
        usedAt: device.usedAt,
        approvedIn: parseUserAgent(device.userAgent),
        approvedFrom: device.address,
      })),
      deviceCount,
      apps: apps.map((app) => ({
        id: app.clientId,
        ...describeConnection(app),
        host: hostOf(app.metadata.client_uri),
        isFirstParty: app.metadata.first_party === true,
      })),
    }
  }
}

const KINDS: readonly AccessItem['kind'][] = ['browser', 'remembered', 'device', 'app']

function itemIn(ctx: Context): AccessItem | undefined {
  const form = formOf(ctx)
  const kind = KINDS.find((name) => name === form.get('what'))
  return kind && { kind, id: form.get('id') ?? '' }
}

function describeConnection({ clientId, metadata, grants, since }: Connection) {
  const name = typeof metadata.client_name === 'string' ? metadata.client_name : clientId
  // Scopes that the client lost since they were granted are not shown.
  const registered = scopesIn(metadata.scope)
  const may = describeGranted(grants).filter(({ scope }) => registered.includes(scope))
  return { name, since, may }
}

function hostOf(uri: unknown): string | undefined {
  return typeof uri === 'string' ? URL.parse(uri)?.host : undefined
}
