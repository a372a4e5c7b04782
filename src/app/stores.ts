import { createEventStore } from '../audit/event-store.ts'
import type { ChangeNotifications } from '../db/change-notification.ts'
import type { Database } from '../db/connections.ts'
import { expiredRowsOf } from '../db/expired-rows.ts'
import { createAccountStore } from '../store/account/account.ts'
import { createMailLinkStore } from '../store/account/mail-link.ts'
import { createSelfServiceStore } from '../store/account/self-service.ts'
import { createAttemptCounter } from '../store/attempt-counter.ts'
import { createClientStore } from '../store/client/client.ts'
import { createResourceStore } from '../store/client/resource.ts'
import { createBackchannelLogoutStore } from '../store/outbox/backchannel-logout.ts'
import { createMailStore } from '../store/outbox/mail.ts'
import { createRevocations } from '../store/revocation/revocation.ts'
import { createConnectionStore } from '../store/session/connection.ts'
import { createConsentStore } from '../store/session/consent.ts'
import { createRememberedBrowserStore } from '../store/session/remembered-browser.ts'
import { createSessionStore } from '../store/session/session.ts'
import { createDeviceCodeStore } from '../store/token/device-code.ts'
import { createGrantStore } from '../store/token/grant.ts'
import { createInteractionStore, createPushedRequestStore } from '../store/token/pending-request.ts'
import { createRefreshReplayStore } from '../store/token/refresh-replay.ts'
import { createReplayDetection } from '../store/token/replay-detection.ts'
import { createTokenStore } from '../store/token/token.ts'
import { createTokenCommit } from '../store/token/token-commit.ts'
import { createUptimeStore, type Heartbeat } from '../store/token/uptime.ts'
import type { Clock } from '../time.ts'

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
