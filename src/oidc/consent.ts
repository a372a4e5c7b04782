import type { Client, Grant, KoaContextWithOIDC, Provider } from 'oidc-provider'
import { sha256 } from '../crypto/vault.ts'
import type { Consent, ConsentStore, ScopeSet } from '../store/session/consent.ts'
import { type ExtraClientMetadata, isOidcScope, scopesIn } from './client/client-metadata.ts'
import { describeScopes, type MissingConsent } from './client/scopes.ts'
import { withUnavailable } from './engine/errors.ts'
import { provenEpoch } from './session/authentication.ts'

type Needs = { consents: ConsentStore; checkSessionLimit: (ctx: KoaContextWithOIDC) => Promise<void> }

/**
 * Creates the engine's look-up of the grant that a request continues with. A grant belongs to one browser session or
 * device, so that revoking it affects no other; earlier consent of the person is carried over. First-party clients get
 * a grant without consent. (For native clients the engine asks for consent all the same, RFC 8252 §8.6.)
 */
export function createLoadExistingGrant({ consents, checkSessionLimit }: Needs) {
  return withUnavailable(async (ctx: KoaContextWithOIDC): Promise<Grant | undefined> => {
    const { oidc } = ctx
    const { client, session, account } = oidc
    if (!client || !session) return undefined
    const consented = oidc.result?.consent?.grantId
    const grantId = consented ?? session.grantIdFor(client.clientId)
    const existing = grantId ? await oidc.provider.Grant.find(grantId) : undefined
    // A device gets its own grant when the person consents: revoking it must revoke nothing else.
    const isDevice = oidc.route === 'code_verification' || oidc.route === 'device_resume'
    if (isDevice && !consented) return undefined
    // The grant of this consent was revoked meanwhile, for example by a new password.
    if (consented && !existing) return undefined
    if (!account) return existing
    // The prompt `login` is pending; no grant can be stored before it.
    const { accountId, accessEpoch } = account
    if (accessEpoch !== provenEpoch(accountId)) return undefined
    if (!existing) await checkSessionLimit(ctx)

    const grant = existing ?? newGrant(oidc.provider, { accountId, clientId: client.clientId, session })
    const missing = missingScopes(ctx, grant)
    if (existing && missing.length === 0) return existing
    const isFirstParty = (client as Client & ExtraClientMetadata).first_party === true
    const consent = isFirstParty ? undefined : await consents.find(accountId, client.clientId)
    const isAnswered = applyEarlierAnswers(grant, missing, isFirstParty ? 'all' : consent)
    if (!isAnswered && !isFirstParty) return existing
    await grant.save()
    return grant
  })
}

/** @returns whether the grant has an answer to one of the scopes now. */
function applyEarlierAnswers(
  grant: Grant,
  missing: ReturnType<typeof missingScopes>,
  consent: Consent | 'all' | undefined,
): boolean {
  const answers = missing.map(({ resource, scope }) => {
    const answer = consent === 'all' ? 'granted' : answerTo(consent, scope, resource)
    if (answer !== undefined) answerScope(grant, { scope, resource }, answer === 'granted')
    return answer
  })
  return answers.some((answer) => answer !== undefined)
}

/**
 * The grant of a browser session for a client. Its identifier is derived, so that two concurrent requests of one browser
 * share a grant and the code of neither refers to a grant that the session dropped.
 */
export function newGrant(
  { Grant }: Provider,
  { accountId, clientId, session }: { accountId: string; clientId: string; session: { uid: string } },
): Grant {
  const jti = sha256(JSON.stringify([session.uid, accountId, clientId])).toString('base64url')
  return new Grant({ accountId, clientId, jti } as ConstructorParameters<typeof Grant>[0])
}

/** The person's earlier answer about a scope, from any browser. */
function answerTo(consent: Consent | undefined, scope: string, resource: string | undefined) {
  const has = (scopes: ScopeSet | undefined) =>
    scopesIn(resource === undefined ? scopes?.openid : scopes?.resources[resource]).includes(scope)
  return has(consent?.granted) ? 'granted' : has(consent?.rejected) ? 'rejected' : undefined
}

/** The answers in a grant merged into the person's earlier ones, to be stored. */
export function consentIn(grant: Grant, before: Consent | undefined): Consent {
  const { openid, resources, rejected } = grant
  const answers = {
    granted: { openid: openid?.scope ?? '', resources: resources ?? {} },
    rejected: { openid: rejected?.openid?.scope ?? '', resources: rejected?.resources ?? {} },
  }
  // Scopes that this grant does not mention keep their earlier answer.
  const isOpen = (scope: string, resource: string | undefined) =>
    answerTo(answers, scope, resource) === undefined
  return {
    granted: mergeScopes(answers.granted, before?.granted, isOpen),
    rejected: mergeScopes(answers.rejected, before?.rejected, isOpen),
  }
}

/** Whether an answer withdraws a scope that was granted before. */
export function isNarrowed(before: Consent | undefined, { granted }: Consent): boolean {
  if (!before) return false
  const isLost = (earlier: string, now?: string) =>
    scopesIn(earlier).some((scope) => !scopesIn(now).includes(scope))
  return (
    isLost(before.granted.openid, granted.openid) ||
    Object.entries(before.granted.resources).some(([resource, scope]) =>
      isLost(scope, granted.resources[resource]),
    )
  )
}

function mergeScopes(
  now: ScopeSet,
  before: ScopeSet = { openid: '', resources: {} },
  isOpen: (scope: string, resource: string | undefined) => boolean,
): ScopeSet {
  const merge = (resource: string | undefined, current = '', earlier = '') =>
    [
      ...new Set([...scopesIn(current), ...scopesIn(earlier).filter((scope) => isOpen(scope, resource))]),
    ].join(' ')
  const names = new Set([...Object.keys(now.resources), ...Object.keys(before.resources)])
  return {
    openid: merge(undefined, now.openid, before.openid),
    resources: Object.fromEntries(
      [...names].map((name) => [name, merge(name, now.resources[name], before.resources[name])]),
    ),
  }
}

/** A scope that a request asks for, of OpenID Connect or of a resource. */
type AskedScope = { resource: string | undefined; scope: string }

function missingScopes({ oidc }: KoaContextWithOIDC, grant: Grant): AskedScope[] {
  const requested = [...oidc.requestParamScopes]
  const known = new Set(grant.getOIDCScopeEncountered().split(' '))
  const missing: AskedScope[] = requested
    .filter((scope) => isOidcScope(scope) && !known.has(scope))
    .map((scope) => ({ resource: undefined, scope }))
  for (const [resource, { scopes }] of Object.entries(oidc.resourceServers ?? {})) {
    const encountered = new Set(grant.getResourceScopeEncountered(resource).split(' '))
    for (const scope of requested) {
      if (scopes.has(scope) && !encountered.has(scope)) missing.push({ resource, scope })
    }
  }
  return missing
}

/**
 * The scopes that a consent prompt shows: those without an answer; or all answered ones, when the client asks again
 * (`prompt=consent`, native clients).
 */
export function promptedScopes(
  { missingOIDCScope, missingResourceScopes }: MissingConsent,
  grant: Grant,
): MissingConsent {
  if (missingOIDCScope || missingResourceScopes)
    return { missingOIDCScope: missingOIDCScope ?? [], missingResourceScopes: missingResourceScopes ?? {} }
  const resources = Object.keys(grant.resources ?? {})
  return {
    missingOIDCScope: scopesIn(grant.getOIDCScopeEncountered()),
    missingResourceScopes: Object.fromEntries(
      resources.map((resource) => [resource, scopesIn(grant.getResourceScopeEncountered(resource))]),
    ),
  }
}

/**
 * Writes a person's answer into the grant: ticked scopes are granted, the others rejected, so that they are not asked
 * for again.
 *
 * @param ticked scopes as the form sent them; scopes that the prompt did not show are ignored.
 */
export function applyConsent(grant: Grant, missing: MissingConsent, ticked: readonly string[]): void {
  for (const { value, scope, required, resource } of describeScopes(missing)) {
    const granted = required || ticked.includes(value)
    // The latest answer counts; the engine's grant would keep an earlier rejection too.
    for (const answers of [grant, grant.rejected ?? {}]) forgetAnswer(answers, scope, resource)
    answerScope(grant, { scope, resource }, granted)
  }
}

function answerScope(grant: Grant, { scope, resource }: AskedScope, isGranted: boolean): void {
  if (resource === undefined) isGranted ? grant.addOIDCScope(scope) : grant.rejectOIDCScope(scope)
  else isGranted ? grant.addResourceScope(resource, scope) : grant.rejectResourceScope(resource, scope)
}

type Answers = Pick<Grant, 'openid' | 'resources'>

function forgetAnswer({ openid, resources }: Answers, value: string, resource: string | undefined): void {
  const without = (scope = '') =>
    scopesIn(scope)
      .filter((other) => other !== value)
      .join(' ')
  if (resource === undefined && openid?.scope) openid.scope = without(openid.scope)
  if (resource !== undefined && resources?.[resource]) resources[resource] = without(resources[resource])
}
