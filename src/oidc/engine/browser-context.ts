import type { NewEvent } from '../../audit/event.ts'
import type { FoundSession } from '../../store/session/found-session.ts'

/** The browser that sent the request, and its session. */
export class BrowserContext {
  readonly #rememberedId: () => string | undefined
  #newRememberedId: string | undefined
  #isOutdated = false
  #replaces: string | undefined
  readonly #sessions = new Map<string, FoundSession>()
  readonly #cookies = new Set<string>()
  readonly #events = new Map<string, NewEvent>()

  constructor(rememberedId: () => string | undefined) {
    this.#rememberedId = rememberedId
  }

  /** The identifier of the remembered browser, if it is or becomes one. */
  get rememberedId(): string | undefined {
    return this.#newRememberedId ?? this.#rememberedId()
  }

  recordRememberedId(id: string): void {
    this.#newRememberedId = id
  }

  /** Keeps a session as it is stored, by its cookie. */
  recordSession(id: string, session: FoundSession): void {
    this.#sessions.set(id, session)
  }

  /** The session as it was stored before this request. */
  findSession(id: string): FoundSession | undefined {
    return this.#sessions.get(id)
  }

  /** The same by `uid`, which stays when the identifier is replaced. */
  findSessionByUid(uid: string): FoundSession | undefined {
    return [...this.#sessions.values()].find((session) => session.uid === uid)
  }

  /** The request's session identifier was replaced or ended: the browser has a newer one. */
  markOutdated(): void {
    this.#isOutdated = true
  }

  get isOutdated(): boolean {
    return this.#isOutdated
  }

  recordReplacement(replacedId: string): void {
    this.#replaces = replacedId
  }

  /** The session identifier that this request replaces. */
  get replaces(): string | undefined {
    return this.#replaces
  }

  /** The answer may set this identifier as the session cookie. */
  allowCookie(id: string): void {
    this.#cookies.add(id)
  }

  mayHaveCookie(id: string): boolean {
    return this.#cookies.has(id)
  }

  /** The engine stores a session again after a failure. The repeated event keeps its identifier: it is one event. */
  recordEvent(event: NewEvent): NewEvent {
    const key = `${event.type} ${event.sessionUid}`
    const same = this.#events.get(key) ?? event
    this.#events.set(key, same)
    return same
  }
}
