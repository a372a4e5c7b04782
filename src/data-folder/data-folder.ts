/**
 * Room data-folder/: the folder of the embedded database. One process holds it at a time; others send it requests over a
 * Unix socket. `file-lock.ts` is the lock, `folder-privacy.ts` checks owners and permissions.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { createServer, type RequestListener, request, type Server } from 'node:http'
import { connect } from 'node:net'
import { join, relative, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { type FileLock, tryLock } from './file-lock.ts'
import {
  refuseForeignFile,
  refuseForeignFolder,
  refusePlantedFile,
  secureContents,
  secureFolder,
} from './folder-privacy.ts'

/** Unix socket paths end at 107 bytes on Linux, 103 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100
/** The subfolder of the embedded database. */
export const DATABASE_FOLDER = 'postgres'
const LOCK_NAME = 'sallyport.lock'
const SOCKET_NAME = 'sallyport.sock'
/** How long a starting or stopping holder may have the lock without a socket. */
const SILENT_HOLDER_MILLISECONDS = 5_000
const RETRY_MILLISECONDS = 20
/** Concurrent requests that the holder answers; further ones get 503 and retry. */
const ANSWERED_AT_ONCE = 64

/** Another process holds the folder; it answers on the folder's socket. */
export class DataFolderInUseError extends Error {
  override name = 'DataFolderInUseError'
}

/** Another process holds the folder and does not answer: it is stuck, or its socket was deleted. */
export class DataFolderSilentError extends Error {
  override name = 'DataFolderSilentError'
}

/**
 * The data folder while this process holds its lock: two processes that open PGlite on one folder destroy it. The holder
 * answers the command line on a Unix socket in the folder, so commands work while a server runs.
 */
export type DataFolder = Readonly<{
  path: string
  /** Sets the handler of requests from other processes. Until then they get 503. */
  answerWith(listener: RequestListener): void
  /** Answers further requests with 503, and waits for those in progress. */
  finishAnswering(): Promise<void>
  /** Removes other users' permissions from files that the database made. */
  secure(): void
  release(): Promise<void>
}>

type Needs = {
  log?: Pick<Log, 'warn'>
  /** How long to wait for a holder that starts or stops. */
  waitMilliseconds?: number
}

/**
 * Locks the folder for this process, and removes other users' permissions on it.
 *
 * @throws {DataFolderInUseError} when another process holds it.
 * @throws {DataFolderSilentError} when that process does not answer.
 * @throws {DataFolderRefusedError} when it, or something in it, belongs to another user, or its lock file is a link.
 */
export async function claimDataFolder(
  folder: string,
  { log, waitMilliseconds = SILENT_HOLDER_MILLISECONDS }: Needs = {},
): Promise<DataFolder> {
  const opened = secureFolder(folder)
  const path = socketPath(folder)
  const answerUnavailable: RequestListener = (_request, response) =>
    response.writeHead(503, { connection: 'close' }).end()
  let listener = answerUnavailable
  const answering = new Set<Promise<unknown>>()
  const server = createServer((incoming, response) => {
    if (answering.size >= ANSWERED_AT_ONCE) {
      answerUnavailable(incoming, response)
      return
    }
    const answered = once(response, 'close').finally(() => answering.delete(answered))
    answering.add(answered)
    listener(incoming, response)
  })
  refusePlantedFile(join(folder, LOCK_NAME))
  const lock = await takeLock(folder, path, waitMilliseconds)
  try {
    const { entries, wasKeyReadable } = secureContents(folder)
    // In a private folder, open modes of files gave no access.
    if (opened)
      log?.warn({
        event: 'data_folder.tightened',
        folder,
        mode: (opened.modeBefore & 0o777).toString(8),
        entries,
        key_was_readable: wasKeyReadable,
      })
    await listen(server, path)
  } catch (error) {
    server.close()
    lock.release()
    throw error
  }
  // Refers to the lock for as long as the socket is open, so that it is not garbage-collected.
  server.once('close', () => lock.release())
  // The socket alone does not keep the process running.
  server.unref()

  return {
    path: folder,
    answerWith(next) {
      listener = next
    },
    async finishAnswering() {
      listener = answerUnavailable
      await Promise.allSettled(answering)
    },
    secure() {
      secureContents(folder)
    },
    release: () =>
      new Promise((done) => {
        server.close(() => done())
        // A kept connection with further requests would delay the release.
        server.closeAllConnections()
      }),
  }
}

/**
 * Sends a JSON document to the process that holds the folder.
 *
 * @returns undefined when no process holds it, or the holder released it before it read the document.
 * @throws {DataFolderRefusedError} when the folder or its socket belongs to another user, who could read the document.
 */
export async function askHolder(
  folder: string,
  path: string,
  document: unknown,
): Promise<{ status: number; body: string } | undefined> {
  const holder = socketPath(folder)
  refuseForeignFolder(folder)
  refuseForeignFile(holder)
  return await new Promise((done, fail) => {
    const outgoing = request(
      {
        socketPath: holder,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      },
      (response) => {
        const status = response.statusCode ?? 500
        text(response).then((body) => done({ status, body }), fail)
      },
    )
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      hasNoListener(error) ? done(undefined) : fail(error),
    )
    outgoing.end(JSON.stringify(document ?? null))
  })
}

async function takeLock(folder: string, path: string, waitMilliseconds: number): Promise<FileLock> {
  const deadline = performance.now() + waitMilliseconds
  for (;;) {
    const lock = tryLock(join(folder, LOCK_NAME))
    const isAnswered = await canConnect(path)
    if (lock && !isAnswered) return lock
    // The lock is free but a holder answers: its lock file was deleted.
    lock?.release()
    const holder = `Another Sallyport process is using ${resolve(folder)}`
    if (isAnswered) throw new DataFolderInUseError(`${holder}.`)
    if (performance.now() > deadline)
      throw new DataFolderSilentError(`${holder} and does not answer. End it first.`)
    await pause(RETRY_MILLISECONDS)
  }
}

/** Listens in place of a dead holder. This process has the lock, so the leftover socket is unused. */
async function listen(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true })
  server.listen(path)
  await once(server, 'listening')
  await chmod(path, 0o600)
}

/** Whether a process listens on the socket. Any error except a definite refusal counts as yes. */
function canConnect(path: string): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(path, () => {
      probe.destroy()
      done(true)
    })
    probe.on('error', (error) => done(!hasNoListener(error)))
  })
}

/** A holder that releases the folder finishes its responses and resets connections that it has not accepted. */
function hasNoListener({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ECONNRESET' || code === 'EPIPE'
}

function socketPath(folder: string): string {
  const absolute = resolve(folder, SOCKET_NAME)
  const fromHere = relative(process.cwd(), absolute)
  const path = fromHere.length < absolute.length ? fromHere : absolute
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new Error(`DATA_DIR is too long a path for a socket in it: ${folder}`)
  return path
}
