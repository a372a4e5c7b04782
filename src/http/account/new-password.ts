import type { Context } from 'koa'
import { HashingBusyError, type PasswordHasher } from '../../accounts/password.ts'
import {
  type PasswordFault,
  type PasswordOwner,
  PasswordRuleError,
  type PasswordRules,
} from '../../accounts/password-rules.ts'
import { answerBusy } from '../sign-in/login-form.ts'
import { formOf } from '../transport/form.ts'

export type RefusedPassword = PasswordRuleError | HashingBusyError

export type HashNewPassword = ReturnType<typeof createNewPasswordForm>

/** Judges and hashes the password that a form sets. */
export function createNewPasswordForm({
  passwordRules,
  hasher,
}: {
  passwordRules: PasswordRules
  hasher: PasswordHasher
}) {
  return async (ctx: Context, owner: PasswordOwner): Promise<string | RefusedPassword> => {
    try {
      const password = await passwordRules.parse(formOf(ctx).get('new_password') ?? '', owner)
      return await hasher.hash(password)
    } catch (error) {
      if (isRefused(error)) return error
      throw error
    }
  }
}

export function isRefused(value: unknown): value is RefusedPassword {
  return value instanceof PasswordRuleError || value instanceof HashingBusyError
}

/** What a page says of it. Sets the status of the response. */
export function answerRefused(
  ctx: Context,
  refused: RefusedPassword,
): { error: 'rule'; rule: PasswordFault } | { error: 'busy'; rule: undefined } {
  if (refused instanceof PasswordRuleError) {
    ctx.status = 400
    return { error: 'rule', rule: refused.fault }
  }
  answerBusy(ctx)
  return { error: 'busy', rule: undefined }
}
