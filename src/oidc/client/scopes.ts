import type { Payload } from '../../db/schema.ts'
import type { MayOnPage, ScopeOnPage } from '../../ui/view-models.ts'

/** What a prompt says is not granted yet: the engine's `prompt.details`. */
export type MissingConsent = {
  missingOIDCScope?: string[]
  missingResourceScopes?: Record<string, string[]>
}

/** What the consent page lists. `openid` cannot be unticked: without it there is no sign-in. */
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
      // Two APIs may know a scope of the same name: ticking it at one says nothing about the other.
      value: isShared(scope) ? `${scope} ${resource}` : scope,
      scope,
      required: false,
      resource,
    })),
  )
  return [...ours, ...theirs]
}

/** What grants and remembered answers let a client do, each once. */
export function describeGranted(grants: readonly Payload[]): MayOnPage[] {
  const granted = grants.flatMap(({ openid, resources, rejected }: GrantPayload) => {
    const refused = new Set(words(rejected?.openid?.scope ?? ''))
    const ours = words(openid?.scope ?? '').filter((scope) => !refused.has(scope))
    const theirs = Object.entries(resources ?? {}).flatMap(([resource, scope]) => {
      const refusedThere = new Set(words(rejected?.resources?.[resource] ?? ''))
      return words(scope).filter((value) => !refusedThere.has(value))
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

/** The scopes in a scope. */
export function words(scope: string): string[] {
  return scope.split(' ').filter(Boolean)
}
