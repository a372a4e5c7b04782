import { interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider'
import type { ExtraClientMetadata } from '../client/client-metadata.ts'
import { currentRequest } from '../engine/request-context.ts'
import { isRemembered } from './authentication.ts'
import { hasReachedLimit, type SessionLifetimes } from './session-lifetime.ts'
import { isSatisfied, requestedAcrs } from './step-up.ts'

/** The engine's prompts, with checks of our own. */
export function createInteractionPolicy(lifetimes: SessionLifetimes): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base()
  const login = policy.get('login')
  const { Check } = interactionPolicy
  // `step_up` accepts a higher level; the engine's checks would prompt again and again.
  for (const replaced of ['essential_acr', 'essential_acrs']) login?.checks.remove(replaced)

  const checks: Record<string, (oidc: KoaContextWithOIDC['oidc']) => boolean> = {
    // The account was disabled or deleted while signed in: the engine would fail without an account.
    account_unavailable: ({ session, account }) => Boolean(session?.accountId && !account),
    // The person was signed out everywhere after this sign-in page was answered.
    signed_out: ({ result, account }) =>
      result?.login !== undefined &&
      account !== undefined &&
      result.login.accessEpoch !== account.accessEpoch,
    // A sign-in in this request satisfies the remaining checks.
    session_limit: ({ session, client, result }) => {
      const stored = session && currentRequest().browser.findSessionByUid(session.uid)
      return !result?.login && stored !== undefined && hasReachedLimit(client, stored, lifetimes)
    },
    remembered_refused: ({ session, client, result }) =>
      !result?.login &&
      isRemembered(session) &&
      (client as ExtraClientMetadata | undefined)?.remember_me === false,
    step_up: (oidc) => !oidc.result?.login && !isSatisfied(requestedAcrs(oidc), oidc.acr),
  }
  for (const [reason, mustAsk] of Object.entries(checks))
    login?.checks.add(
      new Check(reason, 'End-User authentication is required', 'login_required', ({ oidc }) =>
        mustAsk(oidc) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
      ),
    )
  return policy
}
