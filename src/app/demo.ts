import type { Admin } from '../admin/admin.ts'

/** The names of the demo data; `sallyport try` uses them by default. */
export const DEMO = {
  username: 'demo',
  webClientId: 'demo-web',
  deviceClientId: 'demo-device',
  serviceClientId: 'demo-service',
  resource: 'https://api.example.test',
} as const

const DEFAULT_ISSUER = 'http://localhost:4000'
const CALLBACKS = ['http://127.0.0.1/callback', 'http://localhost/callback', 'http://[::1]/callback']

/** The credentials of the demo data. The server stores no clear text of them. */
export type Demo = Readonly<{ username: string; password: string; clientSecret: string }>

/**
 * Creates one person, one client for each grant, and one API, so that a new operator can get a token at once.
 *
 * @returns undefined when the database is not empty.
 */
export async function seedDemo(admin: Admin): Promise<Demo | undefined> {
  const [users, clients, resources] = await Promise.all([
    admin.users.list(),
    admin.clients.list(),
    admin.resources.list(),
  ])
  if (users.length > 0 || clients.length > 0 || resources.length > 0) return undefined

  await admin.resources.create({ identifier: DEMO.resource, scope: 'read write', format: 'jwt' })
  await admin.clients.create({
    type: 'native',
    client_id: DEMO.webClientId,
    client_name: 'Demo web app',
    redirect_uris: CALLBACKS,
    post_logout_redirect_uris: CALLBACKS,
    resources: [DEMO.resource],
  })
  await admin.clients.create({
    type: 'device',
    client_id: DEMO.deviceClientId,
    client_name: 'Demo device',
    resources: [DEMO.resource],
  })
  const service = await admin.clients.create({
    type: 'service',
    client_id: DEMO.serviceClientId,
    client_name: 'Demo service',
    resources: [DEMO.resource],
  })
  const person = await admin.users.create({
    username: DEMO.username,
    email: 'demo@example.test',
    name: 'Demo Person',
    given_name: 'Demo',
    family_name: 'Person',
  })
  return {
    username: person.username,
    password: person.password ?? '',
    clientSecret: service.client_secret ?? '',
  }
}

/** The text on the terminal when the server is ready. */
export function welcome(issuer: string, demo: Demo | undefined): string {
  const start = [
    '',
    `  Sallyport is ready at ${issuer}`,
    `  Discovery             ${issuer}/.well-known/openid-configuration`,
    `  Account page          ${issuer}/account`,
    '',
  ]
  if (!demo) return start.join('\n')
  // A second terminal does not have the PORT of this one.
  const elsewhere = issuer === DEFAULT_ISSUER ? '' : ` --issuer ${issuer}`
  return [
    ...start,
    '  This first start created demo data. Its two secrets are shown once:',
    '',
    `    person         ${demo.username}`,
    `    password       ${demo.password}`,
    `    demo-service   ${demo.clientSecret}`,
    '',
    '  In a second terminal, in this folder:',
    '',
    `    npx sallyport try code${elsewhere}`,
    `    npx sallyport try device${elsewhere}`,
    `    npx sallyport try service${elsewhere} --client-secret ${demo.clientSecret}`,
    '',
    '  Or by hand:',
    '',
    `    curl -u demo-service:${demo.clientSecret} ${issuer}/token \\`,
    `      -d grant_type=client_credentials -d scope=read -d resource=${DEMO.resource}`,
    `    curl ${issuer}/device/authorize -d client_id=demo-device -d scope=openid`,
    '',
    '  Stop with Ctrl-C. Start with --no-demo for an empty database.',
    '',
  ].join('\n')
}
