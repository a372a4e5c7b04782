import type { Client, KoaContextWithOIDC } from 'oidc-provider'
import type { Ending } from '../store/ending.ts'
import type { ExtraClientMetadata } from './client-metadata.ts'

/**
 * Ends what the engine lets outlive a logout: grants with `offline_access`. People mean it when they sign out. Kept
 * are the grants of devices, and of clients registered with `keep_offline_access`.
 */
export async function endOfflineGrants(
  { oidc }: KoaContextWithOIDC,
  end: (ending: Ending) => Promise<void>,
): Promise<void> {
  const ended: Promise<void>[] = []
  const authorizations = oidc.session?.authorizations ?? {}
  for (const [clientId, { grantId, persistsLogout }] of Object.entries(authorizations)) {
    if (!grantId || !persistsLogout) continue
    const client = (await oidc.provider.Client.find(clientId)) as (Client & ExtraClientMetadata) | undefined
    const isDevice = client?.grantTypeAllowed('urn:ietf:params:oauth:grant-type:device_code')
    if (!isDevice && client?.keep_offline_access !== true) ended.push(end({ what: 'grant', grantId }))
  }
  await Promise.all(ended)
}
