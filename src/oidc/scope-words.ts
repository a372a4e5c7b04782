import type { Payload } from '../store/schema.ts'
import type { ScopeOnPage } from './pages.ts'

/** What a prompt says is not granted yet: the engine's `prompt.details`. */
export type MissingConsent = {
  missingOIDCScope?: string[]
  missingResourceScopes?: Record<string, string[]>
}

/** Words for the scopes that everybody has; scopes of resources speak for themselves. */
const SCOPE_WORDS: Record<string, [title: string, description: string]> = {
  openid: ['Know who you are', 'A number that identifies you to this app'],
  profile: ['See your profile', 'Your name, username and what else your profile holds'],
  email: ['See your e-mail address', 'The address, and whether it was verified'],
  offline_access: ['Stay connected while you are away', 'Until you end it, at most 30 days'],
}

/** What the consent page lists. `openid` cannot be unticked: without it there is no sign-in. */
export function describeScopes({
  missingOIDCScope = [],
  missingResourceScopes = {},
}: MissingConsent): ScopeOnPage[] {
  const ours = missingOIDCScope.map((value) => {
    const [title, description] = SCOPE_WORDS[value] ?? [value, '']
    return { value, scope: value, title, description, required: value === 'openid', resource: undefined }
  })
  const everyScope = Object.values(missingResourceScopes).flat()
  const isShared = (scope: string) => everyScope.indexOf(scope) !== everyScope.lastIndexOf(scope)
  const theirs = Object.entries(missingResourceScopes).flatMap(([resource, scopes]) =>
    scopes.map((scope) => ({
      // Two APIs may know a scope of the same name: ticking it at one says nothing about the other.
      value: isShared(scope) ? `${scope} ${resource}` : scope,
      scope,
      title: scope,
      description: '',
      required: false,
      resource,
    })),
  )
  return [...ours, ...theirs]
}

/** What grants and remembered answers let a client do, in the words of the consent page. */
export function describeGranted(grants: readonly Payload[]): string[] {
  const granted = grants.flatMap(({ openid, resources, rejected }: GrantPayload) => {
    const refused = new Set(words(rejected?.openid?.scope ?? ''))
    const ours = words(openid?.scope ?? '').filter((scope) => !refused.has(scope))
    const theirs = Object.entries(resources ?? {}).flatMap(([resource, scope]) => {
      const refusedThere = new Set(words(rejected?.resources?.[resource] ?? ''))
      return words(scope).filter((value) => !refusedThere.has(value))
    })
    return [...ours.map((scope) => SCOPE_WORDS[scope]?.[0] ?? scope), ...theirs]
  })
  return [...new Set(granted)]
}

type ScopesOfGrant = { openid?: { scope?: string }; resources?: Record<string, string> }
type GrantPayload = ScopesOfGrant & { rejected?: ScopesOfGrant }

/** The scopes in a scope. */
export function words(scope: string): string[] {
  return scope.split(' ').filter(Boolean)
}
