import { SETTINGS } from '../../src/config/settings.ts'
import { GENERATED, table } from './table.ts'

type Name = keyof typeof SETTINGS

/** Settings without a group are in the last one. */
const GROUPS: readonly { title: string; names: readonly Name[] }[] = [
  {
    title: 'Address',
    names: ['ISSUER', 'HOST', 'PORT', 'MANAGEMENT_HOST', 'MANAGEMENT_PORT', 'TRUSTED_PROXIES'],
  },
  { title: 'Database and keys', names: ['DATABASE_URL', 'DATA_DIR', 'ENCRYPTION_KEY'] },
  {
    title: 'Lifetimes',
    names: [
      'ACCESS_TOKEN_SECONDS',
      'REFRESH_TOKEN_IDLE_SECONDS',
      'REFRESH_TOKEN_ABSOLUTE_SECONDS',
      'REFRESH_REPLAY_SECONDS',
      'SESSION_IDLE_SECONDS',
      'SESSION_ABSOLUTE_SECONDS',
      'REMEMBER_ME_SECONDS',
      'EVENT_RETENTION_SECONDS',
    ],
  },
  { title: 'Sessions', names: ['MAX_SESSIONS', 'MAX_SESSIONS_REACHED'] },
  {
    title: 'Mail and self-service',
    names: ['SMTP_URL', 'MAIL_FROM', 'SELF_REGISTRATION', 'PASSWORD_RESET', 'EMAIL_CHANGE'],
  },
  {
    title: 'Appearance',
    names: ['BRAND_NAME', 'BRAND_LOGO_FILE', 'BRAND_COLOR', 'BRAND_COLOR_DARK', 'TEMPLATES_DIR'],
  },
  { title: 'Log', names: ['LOG_LEVEL', 'LOG_FORMAT'] },
]

/** Generates the reference of all settings from their schema. */
export function configurationPage(): string {
  const grouped = GROUPS.flatMap(({ names }) => names)
  const others = (Object.keys(SETTINGS) as Name[]).filter((name) => !grouped.includes(name))
  const groups = [...GROUPS, ...(others.length > 0 ? [{ title: 'Other', names: others }] : [])]
  return [
    GENERATED,
    '# Configuration',
    INTRODUCTION,
    ...groups.flatMap(({ title, names }) => [
      `## ${title}`,
      table(['Setting', 'Default', 'Meaning'], names.map(rowOf)),
    ]),
    '',
  ].join('\n\n')
}

const INTRODUCTION = `Sallyport is configured by environment variables alone. They are read once, when the process starts;
a change takes effect with a restart. Every fault is reported at once. A variable that is nearly a setting's name
(\`TRUSTED_PROXY\`, \`SALLYPORT_PORT\`, \`DB_URL\`, \`ISSUER_FILE\`) is a fault, too, because the setting would keep its default silently; one of
another program, such as \`POSTGRES_URL\`, does no harm once the setting that it resembles is set.
An empty value counts as absent. Settings come from [\`src/config/settings.ts\`](../src/config/settings.ts).

- **Secrets from files.** A setting that holds a secret has a twin whose name ends in \`_FILE\`. It names a file with the
  value, for Docker and Kubernetes secrets. Set one of the two.
- **A master key** is 32 random bytes in base64: \`openssl rand -base64 32\`. See
  [incidents](operations/incidents.md#the-master-key-leaked) for how to change it.
- **Lengths of time** are whole seconds. A value out of range is a fault that names the range. An idle limit must not exceed
  the absolute limit beside it.
- **What is not here** (clients, resources, people) is in the database; the [command line](cli.md) changes it.

\`sallyport doctor\` checks the settings of an installation and what they lead to.`

function rowOf(name: Name): string[] {
  const { byDefault, meaning, secret } = SETTINGS[name]
  return [`\`${name}\`${secret ? `, \`${name}_FILE\`` : ''}`, byDefault, meaning]
}
