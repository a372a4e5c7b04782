import { expect, test } from 'vitest'
import { createVault, randomMasterKey, UnsealError } from '../crypto/vault.ts'
import { type MailContent, openMail, sealMail } from './content.ts'

const vault = createVault([randomMasterKey()])
const content: MailContent = { kind: 'email-taken', to: 'ada@example.test', language: 'en', values: {} }
const about = { accountSub: undefined, seconds: 60 }

test('a sealed mail opens in its own row only', () => {
  const [mail, other] = [sealMail(vault, content, about), sealMail(vault, undefined, about)]
  expect(openMail(vault, mail)).toEqual(content)
  expect(openMail(vault, other)).toBeUndefined()
  expect(() => openMail(vault, { ...mail, id: other.id })).toThrow(UnsealError)
})
