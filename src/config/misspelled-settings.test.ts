import { describe, expect, test } from 'vitest'
import { findMisspelledSettings } from './misspelled-settings.ts'
import { SETTING_NAMES } from './settings.ts'

const settingsSuggestedFor = (env: Record<string, string>) =>
  findMisspelledSettings(env, SETTING_NAMES).map((sentence) => /did you mean (\w+)\?$/.exec(sentence)?.[1])

describe('a name that resembles a setting', () => {
  test.each([
    // Misspellings.
    ['ISUER', 'x', 'ISSUER'],
    ['DATABSE_URL', 'x', 'DATABASE_URL'],
    ['PORTS', '80', 'PORT'],
    ['PROT', '80', 'PORT'],
    ['POTR', '80', 'PORT'],
    ['HSOT', 'x', 'HOST'],
    ['ISSUER_', 'x', 'ISSUER'],
    ['DATABASE_URI', 'postgres://h/d', 'DATABASE_URL'],
    ['SMTP_URI', 'smtp://h', 'SMTP_URL'],
    ['DATABASE_URL_FIEL', '/run/secrets/url', 'DATABASE_URL_FILE'],
    ['SALLYPORT_ISUER', 'x', 'ISSUER'],
    // The same words in another form.
    ['TRUSTED_PROXY', '10.0.0.1', 'TRUSTED_PROXIES'],
    ['TRUSTEDPROXIES', '10.0.0.1', 'TRUSTED_PROXIES'],
    ['PROXIES_TRUSTED', '10.0.0.1', 'TRUSTED_PROXIES'],
    ['trusted_proxies', '10.0.0.1', 'TRUSTED_PROXIES'],
    ['ENCRYPTION_KEYS', 'x', 'ENCRYPTION_KEY'],
    ['ENCRYPTION_KEYS_FILE', 'x', 'ENCRYPTION_KEY_FILE'],
    ['LOGLEVEL', 'debug', 'LOG_LEVEL'],
    ['LOG-LEVEL', 'debug', 'LOG_LEVEL'],
    ['logLevel', 'debug', 'LOG_LEVEL'],
    ['SESSIONS_MAX', '3', 'MAX_SESSIONS'],
    ['issuer', 'x', 'ISSUER'],
    ['Port', '80', 'PORT'],
    ['SALLYPORT_PORT', '80', 'PORT'],
    ['SALLYPORT_ISSUER', 'x', 'ISSUER'],
    ['SALLYPORT_TRUSTED_PROXY', '10.0.0.1', 'TRUSTED_PROXIES'],
    ['SALLYPORT_ENCRYPTION_KEY_FILE', '/key', 'ENCRYPTION_KEY_FILE'],
    ['SALLYPORT_DB_URL', 'postgres://h/d', 'DATABASE_URL'],
    ['sallyport_port', '80', 'PORT'],
    // Only secrets have a `_FILE` setting.
    ['ISSUER_FILE', '/run/issuer', 'ISSUER'],
    ['TRUSTED_PROXIES_FILE', '/run/proxies', 'TRUSTED_PROXIES'],
    // Synonyms.
    ['DB_URL', 'postgres://h/d', 'DATABASE_URL'],
    ['POSTGRES_URL', 'postgres://h/d', 'DATABASE_URL'],
    ['POSTGRES_URL_FILE', '/run/url', 'DATABASE_URL_FILE'],
    ['PG_DSN', 'postgres://h/d', 'DATABASE_URL'],
    ['DATABASE', 'postgres://h/d', 'DATABASE_URL'],
    ['DB_CONNECTION_STRING', 'postgres://h/d', 'DATABASE_URL'],
    ['ISSUER_URL', 'https://login.example', 'ISSUER'],
    ['ISSUER_URI', 'https://login.example', 'ISSUER'],
    ['OIDC_ISSUER', 'https://login.example', 'ISSUER'],
    ['TRUST_PROXY', '10.0.0.1', 'TRUSTED_PROXIES'],
    ['LOG_LVL', 'debug', 'LOG_LEVEL'],
    ['DATA_FOLDER', '/data', 'DATA_DIR'],
    ['SMTP_HOST', 'mail.example', 'SMTP_URL'],
    ['MAIL_URL', 'smtp://mail.example', 'SMTP_URL'],
    ['EMAIL_FROM', 'a@b.example', 'MAIL_FROM'],
    ['SMTP_FROM', 'a@b.example', 'MAIL_FROM'],
    ['MANAGEMENT_ADDRESS', '0.0.0.0', 'MANAGEMENT_HOST'],
    ['SELF_SIGNUP', 'on', 'SELF_REGISTRATION'],
    ['BRAND_COLOUR', '#123456', 'BRAND_COLOR'],
    // Without the unit, or with another.
    ['SESSION_IDLE', '600', 'SESSION_IDLE_SECONDS'],
    ['SESSION_IDLE_TIMEOUT', '600', 'SESSION_IDLE_SECONDS'],
    ['SESSION_TIMEOUT', '10m', 'SESSION_IDLE_SECONDS'],
    ['ACCESS_TOKEN_TTL', '900', 'ACCESS_TOKEN_SECONDS'],
    ['ACCESS_TOKEN', '900', 'ACCESS_TOKEN_SECONDS'],
    ['REFRESH_TOKEN_LIFETIME', '900', 'REFRESH_TOKEN_ABSOLUTE_SECONDS'],
    ['REMEMBER_ME', '0', 'REMEMBER_ME_SECONDS'],
  ])('%s=%s suggests %s', (name, value, meant) => {
    expect(settingsSuggestedFor({ [name]: value })).toEqual([meant])
  })

  test('is reported beside the setting unless both have the same value', () => {
    expect(settingsSuggestedFor({ PORT: '80', SALLYPORT_PORT: '81' })).toEqual(['PORT'])
    expect(settingsSuggestedFor({ PORT: '80', SALLYPORT_PORT: '80' })).toEqual([])
    expect(settingsSuggestedFor({ TRUSTED_PROXIES: '10.0.0.1', TRUSTED_PROXY: '10.0.0.2' })).toEqual([
      'TRUSTED_PROXIES',
    ])
  })

  test('is ignored once the setting is set (a variable of another program)', () => {
    expect(
      settingsSuggestedFor({ DATABASE_URL: 'postgres://h/d', POSTGRES_URL: 'postgres://other/d' }),
    ).toEqual([])
    expect(settingsSuggestedFor({ DATABASE_URL_FILE: '/run/url', DB_URL: 'postgres://other/d' })).toEqual([])
    expect(settingsSuggestedFor({ MAIL_FROM: 'a@b.example', EMAIL_FROM: 'c@d.example' })).toEqual([])
  })

  test('is ignored without a value', () => {
    expect(settingsSuggestedFor({ TRUSTED_PROXY: '', PROT: '' })).toEqual([])
  })
})

describe('a name that resembles no setting', () => {
  test.each(
    Object.entries({
      shell:
        'HOME PATH PWD OLDPWD USER USERNAME LOGNAME HOSTNAME HOSTTYPE OSTYPE MACHTYPE SHELL SHLVL LANG LANGUAGE LC_ALL TERM TERM_PROGRAM COLORTERM EDITOR VISUAL PAGER MAIL MAILCHECK MAILPATH TZ TMPDIR PS1 IFS DISPLAY _ UID',
      desktop:
        'XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_DIRS XDG_RUNTIME_DIR SSH_AUTH_SOCK DBUS_SESSION_BUS_ADDRESS SESSION_MANAGER DESKTOP_SESSION GPG_AGENT_INFO',
      postgres:
        'PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGDATA PGSSLMODE PGPASSFILE POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_HOST POSTGRES_PORT DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD TEST_DATABASE_URL BENCH_DATABASE_URL',
      node: 'NODE_ENV NODE_OPTIONS NODE_PATH NODE_VERSION NODE_EXTRA_CA_CERTS NODE_COMPILE_CACHE YARN_VERSION npm_config_loglevel npm_config_user_agent npm_package_name npm_lifecycle_event npm_execpath npm_config_cache INIT_CWD COLOR',
      proxies: 'HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy',
      containers:
        'KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS POD_IP POD_NAME HOST_IP SALLYPORT_SERVICE_HOST SALLYPORT_SERVICE_PORT SALLYPORT_SERVICE_PORT_HTTP SALLYPORT_PORT_4000_TCP_PROTO SALLYPORT_PORT_4000_TCP_PORT SALLYPORT_PORT_4000_TCP_ADDR container INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_PID LISTEN_FDS',
      clouds:
        'AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GOOGLE_CLOUD_PROJECT WEBSITE_HOSTNAME RENDER_SERVICE_NAME RAILWAY_ENVIRONMENT FLY_REGION DYNO CI GITHUB_ACTIONS GITHUB_TOKEN RUNNER_TEMP VITEST VITEST_MODE',
      others:
        'ACCESS_TOKEN REFRESH_TOKEN SESSION_SECRET SECRET_KEY JWT_SECRET CLIENT_ID CLIENT_SECRET SALLYPORT_CLIENT_ID BASE_URL APP_URL SERVER_PORT HTTP_PORT LOG_FILE LOG_DIR DATA DEBUG VERSION',
    }),
  )('%s variables are ignored', (_kind, names) => {
    for (const name of names.split(' '))
      expect(settingsSuggestedFor({ [name]: '/some/value' }), name).toEqual([])
  })

  test('includes the variables of a Kubernetes Service named sallyport', () => {
    const address = 'tcp://10.0.0.1:4000'
    expect(settingsSuggestedFor({ SALLYPORT_PORT: address, SALLYPORT_PORT_4000_TCP: address })).toEqual([])
    expect(
      settingsSuggestedFor({ SALLYPORT_MANAGEMENT_PORT: 'tcp://10.0.0.2:4001', ISSUER_PORT: address }),
    ).toEqual([])
  })
})
