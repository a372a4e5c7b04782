import { SETTING_GROUPS } from '../../src/config/settings.ts'
import { GENERATED, table } from './table.ts'

type Setting = { byDefault: string; meaning: string; secret: boolean }

/** Generates the reference of all settings from their schema. */
export function configurationPage(): string {
  return [
    GENERATED,
    '# Configuration',
    INTRODUCTION,
    ...Object.entries(SETTING_GROUPS).flatMap(([title, settings]) => [
      `## ${title}`,
      table(['Setting', 'Default', 'Meaning'], Object.entries(settings).map(rowOf)),
    ]),
    '',
  ].join('\n\n')
}

const INTRODUCTION = `Environment variables configure Sallyport. The process reads them once, at start; a change needs a restart.
All faults are reported at once. An empty value counts as absent. Settings come from [\`src/config/settings.ts\`](../src/config/settings.ts).

- **Misspelled names** are faults, because the setting would silently keep its default: \`TRUSTED_PROXY\`,
  \`SALLYPORT_PORT\`, \`DB_URL\`, \`ISSUER_FILE\`. A variable of another program, such as \`POSTGRES_URL\`, is ignored once
  the setting that it resembles is set.
- **Secrets from files.** A secret can be read from a file, for Docker and Kubernetes secrets: set \`ENCRYPTION_KEY_FILE\` to
  the file's path instead of \`ENCRYPTION_KEY\` to its value.
- **A master key** is 32 random bytes in base64: \`openssl rand -base64 32\`. See
  [incidents](operations/incidents.md#the-master-key-leaked) for how to change it.
- **Lengths of time** are whole seconds. A value out of range is a fault that names the range. An idle limit must not exceed
  its absolute limit.
- **Clients, resources and people** are in the database; the [command line](cli.md) changes them.

\`sallyport doctor\` checks the settings of an installation, and the servers that they name.`

function rowOf([name, { byDefault, meaning, secret }]: [string, Setting]): string[] {
  return [`\`${name}\`${secret ? `, \`${name}_FILE\`` : ''}`, byDefault, meaning]
}
