import Bowser from 'bowser'
import type { UserAgentOnPage } from '../../ui/view-models.ts'

const MAX_PROGRAM_CHARACTERS = 60

/** Names the program and operating system of a `User-Agent` header. */
export function parseUserAgent(userAgent: string | undefined): UserAgentOnPage {
  if (!userAgent) return { program: undefined, system: undefined }
  const { browser, os } = Bowser.getParser(userAgent).getResult()
  const program = browser.name || userAgent.slice(0, MAX_PROGRAM_CHARACTERS)
  // Some televisions give both the same name.
  return { program, system: os.name === program ? undefined : os.name || undefined }
}

/** The same in English, for operators. */
export function describeUserAgent(userAgent: string | undefined): string {
  const { program = 'An unknown browser', system } = parseUserAgent(userAgent)
  return system === undefined ? program : `${program} on ${system}`
}
