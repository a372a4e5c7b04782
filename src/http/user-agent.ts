import Bowser from 'bowser'

/** What a person calls the browser that sent this, such as "Firefox on Linux". */
export function describeUserAgent(userAgent: string | undefined): string {
  if (!userAgent) return 'An unknown browser'
  const { browser, os } = Bowser.getParser(userAgent).getResult()
  const program = browser.name || userAgent.slice(0, 60)
  return os.name ? `${program} on ${os.name}` : program
}
