/**
 * Room store/: the SQL of the domain, one file per table or aggregate in a sub-room for each concept. This file creates
 * every store; beside it is the attempt counter of rate limiting.
 */
import { createEventStore } from '../audit/event-store.ts'
import type { ChangeNotifications } from '../db/change-notification.ts'
import type { Database } from '../db/connections.ts'
import { expiredRowsOf } from '../db/expired-rows.ts'
import type { Clock } from '../time.ts'
import { createAccountStore } from './account/account.ts'
import { createMailLinkStore } from './account/mail-link.ts'
import { createSelfServiceStore } from './account/self-service.ts'
import { createAttemptCounter } from './attempt-counter.ts'
import { createClientStore } from './client/client.ts'
import { createResourceStore } from './client/resource.ts'
import { createSigningKeyStore } from './client/signing-key.ts'
import { createBackchannelLogoutStore } from './outbox/backchannel-logout.ts'
import { createMailStore } from './outbox/mail.ts'
import { createRevocations } from './revocation/revocation.ts'
import { createConnectionStore } from './session/connection.ts'
import { createConsentStore } from './session/consent.ts'
import { createRememberedBrowserStore } from './session/remembered-browser.ts'
import { createSessionStore } from './session/session.ts'
import { createDeviceCodeStore } from './token/device-code.ts'
import { createGrantStore } from './token/grant.ts'
import { createInteractionStore, createPushedRequestStore } from './token/pending-request.ts'
import { createRefreshReplayStore } from './token/refresh-replay.ts'
import { createReplayDetection } from './token/replay-detection.ts'
import { createTokenStore } from './token/token.ts'
import { createTokenCommit } from './token/token-commit.ts'
import { createUptimeStore, type Heartbeat } from './token/uptime.ts'

export type Stores = ReturnType<typeof createStores>

type Needs = Readonly<{
  database: Database
  notifications: ChangeNotifications
  heartbeat: Heartbeat
  /** The database's clock. */
  now: Clock
}>

/** Every store, each created once per process: some of them cache rows and batch statements. */
export function createStores({ database, notifications, heartbeat, now }: Needs) {
  const events = createEventStore(database, now)
  const revocations = createRevocations(database, events)
  return {
    accounts: createAccountStore(database, { events, revocations }),
    clients: createClientStore(database, { events, notifications }),
    resources: createResourceStore(database, notifications),
    signingKeys: createSigningKeyStore(database, { events }),
    tokens: createTokenStore(database),
    deviceCodes: createDeviceCodeStore(database, { events }),
    grants: createGrantStore(database),
    sessions: createSessionStore(database, { events, revocations }),
    interactions: createInteractionStore(database),
    pushedRequests: createPushedRequestStore(database),
    replayDetection: createReplayDetection(database),
    artifacts: expiredRowsOf(database, 'oidc_artifact'),
    attempts: createAttemptCounter(database),
    connections: createConnectionStore(database),
    consents: createConsentStore(database, { events }),
    rememberedBrowsers: createRememberedBrowserStore(database, { events }),
    refreshAnswers: createRefreshReplayStore(database, heartbeat),
    events,
    backchannelLogouts: createBackchannelLogoutStore(database),
    mail: createMailStore(database),
    mailLinks: createMailLinkStore(database, { events }),
    selfService: createSelfServiceStore(database, { events, revocations }),
    commitTokens: createTokenCommit(database, { events }),
    revocations,
    uptimes: createUptimeStore(database, heartbeat),
  }
}
