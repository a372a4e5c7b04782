import { auditEventsPage } from './audit-events-page.ts'
import { cliPage } from './cli-page.ts'
import { configurationPage } from './configuration-page.ts'

/** Pages that are generated from the source, by their path in the repository. */
export const GENERATED_PAGES: Readonly<Record<string, () => string>> = {
  'docs/configuration.md': configurationPage,
  'docs/cli.md': cliPage,
  'docs/audit-events.md': auditEventsPage,
}
