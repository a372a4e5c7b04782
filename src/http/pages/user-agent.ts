import Bowser from 'bowser'
import type { UserAgentOnPage } from '../../ui/view-models.ts'

const MAX_PROGRAM_CHARACTERS = 60

/** The program that sent this, and the system under it. */
export function parseUserAgent(userAgent: string | undefined): UserAgentOnPage {
  if (!userAgent) return { program: undefined, system: undefined }
  const { browser, os } = Bowser.getParser(userAgent).getResult()
  const program = browser.name || userAgent.slice(0, MAX_PROGRAM_CHARACTERS)
  // Some televisions call both by one name.
  return { program, system: os.name === program ? undefined : os.name || undefined }
}

/** The same in English, for operators. */
export function describeUserAgent(userAgent: string | undefined): string {
  const { program = 'An unknown browser', system } = parseUserAgent(userAgent)
  return system === undefined ? program : `${program} on ${system}`
}
