import type { Payload } from '../../db/schema.ts'
import type { MayOnPage, ScopeOnPage } from '../../ui/view-models.ts'
import { scopesIn } from './client-metadata.ts'

/** The scopes without a grant: the engine's `prompt.details`. */
export type MissingConsent = {
  missingOIDCScope?: string[]
  missingResourceScopes?: Record<string, string[]>
}

/** The scopes on the consent page. `openid` cannot be unticked: without it there is no sign-in. */
export function describeScopes({
  missingOIDCScope = [],
  missingResourceScopes = {},
}: MissingConsent): ScopeOnPage[] {
  const ours = missingOIDCScope.map((value) => ({
    value,
    scope: value,
    required: value === 'openid',
    resource: undefined,
  }))
  const everyScope = Object.values(missingResourceScopes).flat()
  const isShared = (scope: string) => everyScope.indexOf(scope) !== everyScope.lastIndexOf(scope)
  const theirs = Object.entries(missingResourceScopes).flatMap(([resource, scopes]) =>
    scopes.map((scope) => ({
      // Two resource servers may have a scope of the same name; each has its own box.
      value: isShared(scope) ? `${scope} ${resource}` : scope,
      scope,
      required: false,
      resource,
    })),
  )
  return [...ours, ...theirs]
}

/** The scopes that grants and stored consent allow, each once. */
export function describeGranted(grants: readonly Payload[]): MayOnPage[] {
  const granted = grants.flatMap(({ openid, resources, rejected }: GrantPayload) => {
    const refused = new Set(scopesIn(rejected?.openid?.scope))
    const ours = scopesIn(openid?.scope).filter((scope) => !refused.has(scope))
    const theirs = Object.entries(resources ?? {}).flatMap(([resource, scope]) => {
      const refusedThere = new Set(scopesIn(rejected?.resources?.[resource]))
      return scopesIn(scope).filter((value) => !refusedThere.has(value))
    })
    return [
      ...ours.map((scope) => ({ scope, isOurs: true })),
      ...theirs.map((scope) => ({ scope, isOurs: false })),
    ]
  })
  return granted.filter(
    ({ scope, isOurs }, index) =>
      granted.findIndex((other) => other.scope === scope && other.isOurs === isOurs) === index,
  )
}

type ScopesOfGrant = { openid?: { scope?: string }; resources?: Record<string, string> }
type GrantPayload = ScopesOfGrant & { rejected?: ScopesOfGrant }
