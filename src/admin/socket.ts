import type { IncomingMessage, RequestListener } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import getRawBody from 'raw-body'
import { askHolder } from '../data-folder/data-folder.ts'
import type { Admin } from './admin.ts'
import { AdminError } from './input.ts'

const BUSY_ATTEMPTS = 100
const BUSY_MILLISECONDS = 100
const MAX_BODY_BYTES = 256 * 1024

type Operation = (input?: unknown) => Promise<unknown>

/**
 * Answers the command line of the same machine over the socket in the data folder: `POST /noun/verb` with JSON. A
 * process that can open the socket can also read the database beside it, so the permissions of the folder are the
 * authorization.
 */
export function answerAdminRequests(admin: Admin): RequestListener {
  return (request, response) => {
    answer(admin, request)
      .catch((error: unknown) => ({
        status: error instanceof AdminError ? 400 : 500,
        document: { message: messageOf(error) },
      }))
      .then(({ status, document }) => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(document ?? null))
      })
  }
}

async function answer(
  admin: Admin,
  request: IncomingMessage,
): Promise<{ status: number; document: unknown }> {
  const [noun = '', verb = ''] = (request.url ?? '').slice(1).split('/')
  const operation = findOperation(admin, noun, verb)
  if (request.method !== 'POST' || !operation)
    return {
      status: 404,
      document: { message: 'The running server does not know this command: is it of the same version?' },
    }
  const body = await getRawBody(request, { limit: MAX_BODY_BYTES, encoding: 'utf8' })
  return { status: 200, document: await operation(JSON.parse(body) ?? undefined) }
}

/** No process holds the data folder any more; the request was not delivered. */
export class HolderGoneError extends AdminError {}

/** The same operations, in the process that holds the data folder. */
export function createRemoteAdmin(dataDir: string): Admin {
  const noun = (name: string) =>
    new Proxy(
      {},
      { get: (_target, verb) => (input?: unknown) => ask(dataDir, `/${name}/${String(verb)}`, input) },
    )
  return new Proxy({}, { get: (_target, name) => noun(String(name)) }) as Admin
}

/** Whether a process that answers admin requests holds the data folder. */
export async function isHeld(dataDir: string): Promise<boolean> {
  return (await askHolder(dataDir, '/', null)) !== undefined
}

async function ask(dataDir: string, path: string, input: unknown): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    const answered = await askHolder(dataDir, path, input)
    if (!answered) throw new HolderGoneError('The server that held the database ended meanwhile. Try again.')
    // The server is starting or stopping.
    if (answered.status === 503 && attempt < BUSY_ATTEMPTS) {
      await pause(BUSY_MILLISECONDS)
      continue
    }
    const document: unknown = answered.body === '' ? null : JSON.parse(answered.body)
    if (answered.status === 200) return document
    throw new AdminError(hasMessage(document) ? document.message : 'The server is still starting. Try again.')
  }
}

function findOperation(admin: Admin, noun: string, verb: string): Operation | undefined {
  const operations: Record<string, Record<string, Operation>> = admin
  const group = Object.hasOwn(operations, noun) ? operations[noun] : undefined
  return group && Object.hasOwn(group, verb) ? group[verb] : undefined
}

function hasMessage(document: unknown): document is { message: string } {
  return (
    typeof document === 'object' &&
    document !== null &&
    'message' in document &&
    typeof document.message === 'string'
  )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
