import type { Context } from 'koa'
import type { Offers } from '../../config/config.ts'

const INTERACTION = /^[\w-]{20,64}$/

/** The sign-in that somebody was in the middle of. Only its identifier: it leads to our own page, or nowhere. */
export function interactionOf(ctx: Context): string | undefined {
  const { interaction } = ctx.query
  return typeof interaction === 'string' && INTERACTION.test(interaction) ? interaction : undefined
}

export const signInPath = (interaction: string | undefined): string =>
  interaction === undefined ? '/account/sign-in' : `/interaction/${interaction}`

/** A page of ours, for somebody in the middle of a sign-in. */
export const withInteraction = (path: string, interaction: string | undefined): string =>
  interaction === undefined ? path : `${path}?interaction=${interaction}`

/** What the login page offers to who cannot sign in. */
export function offersAt(
  offers: Offers,
  interaction: string | undefined,
): { reset: string | undefined; register: string | undefined } {
  return {
    reset: offers.passwordReset ? withInteraction('/account/reset', interaction) : undefined,
    register: offers.registration ? withInteraction('/account/register', interaction) : undefined,
  }
}
