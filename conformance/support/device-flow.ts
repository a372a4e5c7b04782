import { expect } from 'vitest'
import type { ClientDocument } from '../../src/admin/clients.ts'
import type { EndUser, Page } from './end-user.ts'
import { PASSWORD, type TestServer } from './harness.ts'
import { type Answer, type Form, post } from './http.ts'

export const DEVICE_GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:device_code'

export type Started = Readonly<{
  device_code: string
  user_code: string
  verification_uri: string
  verification_uri_complete: string
}>

/** Sends a device authorization request (RFC 8628 §3.1). */
export async function startDevice(
  server: Pick<TestServer, 'issuer'>,
  as: ClientDocument,
  form: Form = { scope: 'openid profile offline_access' },
  headers: Record<string, string> = {},
): Promise<Started> {
  const answer = await post(`${server.issuer}/device/authorize`, form, { as, headers })
  expect(answer.status, answer.text).toBe(200)
  return answer.body as Started
}

export function pollDevice(at: string, { device_code }: Started, as: ClientDocument): Promise<Answer> {
  return post(`${at}/token`, { grant_type: DEVICE_GRANT_TYPE, device_code }, { as })
}

/** Enters the user code. @returns the confirmation page. */
export async function enterCode(
  person: EndUser,
  { user_code }: Pick<Started, 'user_code'>,
  more: Record<string, string> = {},
): Promise<Page> {
  return await person.submit(await person.open('/device'), { user_code, ...more })
}

/** Enters the user code, signs in if asked, and approves. */
export async function approveDevice(person: EndUser, started: Started, username = 'ada'): Promise<Page> {
  const page = await person.submit(await enterCode(person, started), {}, 'approve')
  return await person.submit(await signInIfAsked(person, page, username), {}, 'approve')
}

export async function signInIfAsked(person: EndUser, page: Page, username: string): Promise<Page> {
  return page.$('input[name=password]').length > 0
    ? await person.submit(page, { username, password: PASSWORD })
    : page
}

/** The error message of a page; empty without one. */
export function alertOf(page: Page): string {
  return page.$('[role=alert]').text()
}
