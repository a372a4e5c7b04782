import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { link, mkdir, rename, unlink } from 'node:fs/promises'
import { createServer, type RequestListener, request, type Server } from 'node:http'
import { relative, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Unix socket paths end at 107 bytes on Linux, 103 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100
/** Where in the data folder the embedded database is. */
export const DATABASE_FOLDER = 'postgres'
const SOCKET_NAME = 'sallyport.sock'
const PRIVATE_FOLDER = 0o700
const HOLDER_HEADER = 'x-holder'
/** Longer than anybody takes, on a busy machine too, to look at a socket aside and put it back. */
const SETTLE_MILLISECONDS = 1_000

/** Another process holds the folder; it answers on the folder's socket. */
export class DataFolderInUseError extends Error {
  override name = 'DataFolderInUseError'
}

/**
 * The folder of the embedded database. PGlite itself lets two processes open it and destroy it, so a Unix socket
 * in it is the lock: who listens there, holds the folder, and a process that dies lets go. Through the same socket
 * the holder answers the command line, which therefore works while a server runs.
 */
export type DataFolder = Readonly<{
  path: string
  /** Sets what answers other processes; before, they get 503. */
  answerWith(listener: RequestListener): void
  /** Refuses whatever comes next with 503, and waits for what is being answered. */
  finishAnswering(): Promise<void>
  /** Lets go: the next process may have the folder. */
  release(): Promise<void>
}>

/** @throws {DataFolderInUseError} */
export async function claimDataFolder(folder: string): Promise<DataFolder> {
  await mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER })
  const path = socketPath(folder)
  const notNow: RequestListener = (_request, response) =>
    response.writeHead(503, { connection: 'close' }).end()
  let listener = notNow
  const answering = new Set<Promise<unknown>>()
  const id = randomUUID()
  const server = createServer((incoming, response) => {
    response.setHeader(HOLDER_HEADER, id)
    const answered = once(response, 'close').finally(() => answering.delete(answered))
    answering.add(answered)
    listener(incoming, response)
  })
  await listenOrTakeOver(server, path, id)
  // The lock alone keeps no process alive.
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
    release: () =>
      new Promise((done) => {
        server.close(() => done())
        // Whoever asks again on a kept connection would hold the folder for us.
        server.closeAllConnections()
      }),
  }
}

/**
 * Sends a JSON document to the process that holds the folder.
 *
 * @returns undefined when nobody holds it, or its holder let go before it looked at the document.
 */
export async function askHolder(
  folder: string,
  path: string,
  document: unknown,
): Promise<{ status: number; body: string } | undefined> {
  return await new Promise((done, fail) => {
    const outgoing = request(
      {
        socketPath: socketPath(folder),
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

async function listenOrTakeOver(server: Server, path: string, id: string): Promise<void> {
  if (await listen(server, path)) return
  if (await findHolder(path)) throw inUse(path)
  await removeLeftover(path)
  if (!(await listen(server, path))) throw inUse(path)
  // While another process looked at our socket aside, a third may have found the path free: the path decides.
  await pause(SETTLE_MILLISECONDS)
  if ((await findHolder(path)) === id) return
  server.close()
  throw inUse(path)
}

/** @returns false when the path exists already. */
function listen(server: Server, path: string): Promise<boolean> {
  return new Promise((done, fail) => {
    const onError = (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? done(false) : fail(error)
    server.once('error', onError)
    server.listen(path, () => {
      server.off('error', onError)
      done(true)
    })
  })
}

/**
 * Removes the socket of a process that died. Another process may be doing the same and listen again by now, so the
 * file is first moved aside, where nobody else touches it, and looked at again.
 */
async function removeLeftover(path: string): Promise<void> {
  const aside = `${path}.${randomUUID().slice(0, 8)}`
  try {
    await rename(path, aside)
  } catch {
    return // Somebody else removed it.
  }
  if (await findHolder(aside)) {
    await link(aside, path).catch(() => {})
    await unlink(aside)
    throw inUse(path)
  }
  await unlink(aside)
}

/** @returns who answers there, undefined when nobody does. */
function findHolder(path: string): Promise<string | undefined> {
  return new Promise((done) => {
    const probe = request({ socketPath: path, method: 'HEAD' }, (response) => {
      response.resume()
      done(String(response.headers[HOLDER_HEADER]))
    })
    probe.on('error', (error: NodeJS.ErrnoException) => done(isNobodyThere(error) ? undefined : 'unknown'))
    probe.end()
  })
}

/** A holder that lets go answers what it began, and resets the connections that it had not looked at. */
function isNobodyThere({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ECONNRESET' || code === 'EPIPE'
}

function inUse(path: string): DataFolderInUseError {
  return new DataFolderInUseError(`Another Sallyport process is using ${resolve(path, '..')}.`)
}

function socketPath(folder: string): string {
  const absolute = resolve(folder, SOCKET_NAME)
  const fromHere = relative(process.cwd(), absolute)
  const path = fromHere.length < absolute.length ? fromHere : absolute
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new Error(`DATA_DIR is too long a path for a socket in it: ${folder}`)
  return path
}
