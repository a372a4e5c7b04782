import type { Context } from 'koa'
import type { Offers } from '../../config/config.ts'

const INTERACTION = /^[\w-]{20,64}$/

/** The unfinished sign-in of a request's query. An identifier only, so it cannot redirect to another site. */
export function interactionOf(ctx: Context): string | undefined {
  const { interaction } = ctx.query
  return typeof interaction === 'string' && INTERACTION.test(interaction) ? interaction : undefined
}

export const signInPath = (interaction: string | undefined): string =>
  interaction === undefined ? '/account/sign-in' : `/interaction/${interaction}`

/** One of our paths, with the unfinished sign-in to return to. */
export const withInteraction = (path: string, interaction: string | undefined): string =>
  interaction === undefined ? path : `${path}?interaction=${interaction}`

/** Links of the login page to password reset and registration, where offered. */
export function selfServiceLinks(offers: Offers, interaction: string | undefined) {
  return {
    reset: offers.passwordReset ? withInteraction('/account/reset', interaction) : undefined,
    register: offers.registration ? withInteraction('/account/register', interaction) : undefined,
  }
}
