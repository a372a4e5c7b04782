import { z } from 'zod'
import type { AccessItem, AccountAccess } from '../accounts/access.ts'
import type { RevokedCount } from '../store/revocation/revocation.ts'
import type { Connection } from '../store/session/connection.ts'
import { AdminError } from './input.ts'

/** The item to revoke: at most one. */
export const accessPart = z.strictObject({
  session: z.string().optional(),
  browser: z.string().optional(),
  device: z.string().optional(),
  app: z.string().optional(),
})

/** The sessions, remembered browsers, devices and apps of a person, as JSON. */
export type AccessDocument = Awaited<ReturnType<typeof describeAccess>>

/** More devices than a real account has. */
const MOST_DEVICES = 10_000

const KINDS: Record<keyof z.output<typeof accessPart>, AccessItem['kind']> = {
  session: 'browser',
  browser: 'remembered',
  device: 'device',
  app: 'app',
}

export async function describeAccess(access: AccountAccess, sub: string) {
  const { browsers, remembered, devices, apps } = await access.list(sub, MOST_DEVICES)
  return {
    sessions: browsers.map(({ uid, userAgent, address, startedAt, seenAt, rememberedId }) => ({
      session: uid,
      user_agent: userAgent,
      address,
      started_at: startedAt.toISOString(),
      seen_at: seenAt.toISOString(),
      remembered_browser: rememberedId,
    })),
    remembered_browsers: remembered.map(({ id, userAgent, address, usedAt, expiresAt }) => ({
      remembered_browser: id,
      user_agent: userAgent,
      address,
      used_at: usedAt.toISOString(),
      expires_at: expiresAt.toISOString(),
    })),
    devices: devices.map((device) => ({ grant: device.grantId, ...describeConnection(device) })),
    apps: apps.map(describeConnection),
  }
}

function describeConnection({ clientId, since, usedAt }: Pick<Connection, 'clientId' | 'since' | 'usedAt'>) {
  return { client_id: clientId, since: since.toISOString(), used_at: usedAt?.toISOString() }
}

/** @throws {AdminError} when more than one item is named, or the person does not have it. */
export async function revokeAccess(
  access: AccountAccess,
  sub: string,
  part: z.output<typeof accessPart>,
): Promise<RevokedCount> {
  const [[name, id = ''] = [''], ...more] = Object.entries(part)
  if (more.length > 0) throw new AdminError('Name one item to revoke, or none to revoke all of them.')
  const kind = KINDS[name as keyof typeof KINDS]
  const found = await access.find(sub, { kind, id }, { by: 'operator' })
  if (!found) throw new AdminError(`This person has no ${name} ${id}.`)
  await found.revoke()
  return found.revoked
}
