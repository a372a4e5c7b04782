import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { createServer, type RequestListener, request, type Server } from 'node:http'
import { connect } from 'node:net'
import { join, relative, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { type FileLock, tryLock } from './file-lock.ts'
import { refuseForeignFile, refuseForeignFolder, secureContents, secureFolder } from './folder-privacy.ts'

/** Unix socket paths end at 107 bytes on Linux, 103 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100
/** Where in the data folder the embedded database is. */
export const DATABASE_FOLDER = 'postgres'
const LOCK_NAME = 'sallyport.lock'
const SOCKET_NAME = 'sallyport.sock'
/** A holder that starts or stops has the lock and no socket, for milliseconds. */
const SILENT_HOLDER_MILLISECONDS = 5_000
const RETRY_MILLISECONDS = 20
/** More commands at once are told to come again, as they are while the holder starts. */
const ANSWERED_AT_ONCE = 64

/** Another process holds the folder; it answers on the folder's socket. */
export class DataFolderInUseError extends Error {
  override name = 'DataFolderInUseError'
}

/** Another process holds the folder and does not answer: it hangs, or its socket was deleted. */
export class DataFolderSilentError extends Error {
  override name = 'DataFolderSilentError'
}

/**
 * The folder of the embedded database, held by this process alone: two processes that open PGlite on one folder destroy
 * it. The lock is the kernel's, on a file in the folder. The holder listens on a Unix socket beside it and answers the
 * command line there, which therefore works while a server runs.
 */
export type DataFolder = Readonly<{
  path: string
  /** Sets what answers other processes; before, they get 503. */
  answerWith(listener: RequestListener): void
  /** Refuses whatever comes next with 503, and waits for what is being answered. */
  finishAnswering(): Promise<void>
  /** Takes the permissions of other users away from files that the database made. */
  secure(): void
  /** Lets go: the next process may have the folder. */
  release(): Promise<void>
}>

type Needs = {
  log?: Pick<Log, 'warn'>
  /** How long another holder may be silent while it starts or stops. */
  patienceMilliseconds?: number
}

/**
 * Takes the folder for this process, and takes other users' permissions on it away.
 *
 * @throws {DataFolderInUseError} when another process holds it.
 * @throws {DataFolderSilentError} when that process does not answer.
 * @throws {DataFolderRefusedError} when it, or something in it, belongs to another user.
 */
export async function claimDataFolder(
  folder: string,
  { log, patienceMilliseconds = SILENT_HOLDER_MILLISECONDS }: Needs = {},
): Promise<DataFolder> {
  const opened = secureFolder(folder)
  const path = socketPath(folder)
  const notNow: RequestListener = (_request, response) =>
    response.writeHead(503, { connection: 'close' }).end()
  let listener = notNow
  const answering = new Set<Promise<unknown>>()
  const server = createServer((incoming, response) => {
    if (answering.size >= ANSWERED_AT_ONCE) {
      notNow(incoming, response)
      return
    }
    const answered = once(response, 'close').finally(() => answering.delete(answered))
    answering.add(answered)
    listener(incoming, response)
  })
  const lock = await takeLock(folder, path, patienceMilliseconds)
  try {
    const { entries, wasKeyReadable } = secureContents(folder)
    // In a folder that was private, open modes of files gave nobody anything.
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
  // The lock lasts as long as the socket, whether anything refers to this folder or not.
  server.once('close', () => lock.release())
  // The socket alone keeps no process alive.
  server.unref()

  return {
    path: folder,
    answerWith(next) {
      listener = next
    },
    async finishAnswering() {
      listener = notNow
      await Promise.allSettled(answering)
    },
    secure() {
      secureContents(folder)
    },
    release: () =>
      new Promise((done) => {
        server.close(() => done())
        // A kept connection that asks again would hold the folder for us.
        server.closeAllConnections()
      }),
  }
}

/**
 * Sends a JSON document to the process that holds the folder.
 *
 * @returns undefined when no process holds it, or its holder let go before it looked at the document.
 * @throws {DataFolderRefusedError} when the folder or its socket belongs to another user, who would read the document.
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
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          body += chunk
        })
        response.on('end', () => done({ status: response.statusCode ?? 500, body }))
        response.on('error', fail)
      },
    )
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      isNobodyThere(error) ? done(undefined) : fail(error),
    )
    outgoing.end(JSON.stringify(document ?? null))
  })
}

async function takeLock(folder: string, path: string, patienceMilliseconds: number): Promise<FileLock> {
  const deadline = performance.now() + patienceMilliseconds
  for (;;) {
    const lock = tryLock(join(folder, LOCK_NAME))
    const isAnswered = await canConnect(path)
    if (lock && !isAnswered) return lock
    // The lock is ours and yet a holder answers: its lock file was deleted.
    lock?.release()
    const holder = `Another Sallyport process is using ${resolve(folder)}`
    if (isAnswered) throw new DataFolderInUseError(`${holder}.`)
    if (performance.now() > deadline)
      throw new DataFolderSilentError(`${holder} and does not answer. End it first.`)
    await pause(RETRY_MILLISECONDS)
  }
}

/** Listens in place of a holder that died. The lock is ours, so the socket that it left behind is nobody's. */
async function listen(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true })
  server.listen(path)
  await once(server, 'listening')
  await chmod(path, 0o600)
}

/** Whether a process listens there. Any other answer than a clear no counts as yes. */
function canConnect(path: string): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(path, () => {
      probe.destroy()
      done(true)
    })
    probe.on('error', (error) => done(!isNobodyThere(error)))
  })
}

/** A holder that lets go answers what it began, and resets the connections that it had not looked at. */
function isNobodyThere({ code }: NodeJS.ErrnoException): boolean {
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
