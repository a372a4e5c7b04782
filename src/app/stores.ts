import { createEventStore } from '../audit/event.ts'
import type { ChangeNotifications } from '../db/change-notification.ts'
import type { Database } from '../db/connections.ts'
import { createAccountStore } from '../store/account/account.ts'
import { createMailLinkStore } from '../store/account/mail-link.ts'
import { createSelfServiceStore } from '../store/account/self-service.ts'
import { createAttemptCounter } from '../store/attempt-counter.ts'
import { createClientStore } from '../store/client/client.ts'
import { createResourceStore } from '../store/client/resource.ts'
import { createBackchannelLogoutStore } from '../store/outbox/backchannel-logout.ts'
import { createMailStore } from '../store/outbox/mail.ts'
import { createEnding } from '../store/revocation/revocation.ts'
import { createConnectionStore } from '../store/session/connection.ts'
import { createConsentStore } from '../store/session/consent.ts'
import { createRememberedBrowserStore } from '../store/session/remembered-browser.ts'
import { createSessionStore } from '../store/session/session.ts'
import { createArtifactStore } from '../store/token/artifact.ts'
import { createDeviceCodeStore } from '../store/token/device-code.ts'
import { createGrantStore } from '../store/token/grant.ts'
import { createRefreshAnswerStore } from '../store/token/refresh-answer.ts'
import { createTokenStore } from '../store/token/token.ts'
import { createTokenCommit } from '../store/token/token-commit.ts'
import { createUptimeStore, type Heartbeat } from '../store/token/uptime.ts'

export type Stores = ReturnType<typeof createStores>

/** Every store, each created once per process: some of them cache rows and batch statements. */
export function createStores(database: Database, notifications: ChangeNotifications, heartbeat: Heartbeat) {
  return {
    accounts: createAccountStore(database),
    clients: createClientStore(database, notifications),
    resources: createResourceStore(database, notifications),
    tokens: createTokenStore(database),
    deviceCodes: createDeviceCodeStore(database),
    grants: createGrantStore(database),
    sessions: createSessionStore(database),
    artifacts: createArtifactStore(database),
    attempts: createAttemptCounter(database),
    connections: createConnectionStore(database),
    consents: createConsentStore(database),
    rememberedBrowsers: createRememberedBrowserStore(database),
    refreshAnswers: createRefreshAnswerStore(database, heartbeat),
    events: createEventStore(database),
    backchannelLogouts: createBackchannelLogoutStore(database),
    mail: createMailStore(database),
    mailLinks: createMailLinkStore(database),
    selfService: createSelfServiceStore(database),
    commitTokens: createTokenCommit(database),
    end: createEnding(database),
    uptimes: createUptimeStore(database, heartbeat),
  }
}
