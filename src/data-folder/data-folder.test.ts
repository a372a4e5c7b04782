import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  askHolder,
  claimDataFolder,
  type DataFolder,
  DataFolderInUseError,
  DataFolderSilentError,
} from './data-folder.ts'
import { DataFolderRefusedError } from './folder-privacy.ts'

const newHome = () => mkdtemp(join(tmpdir(), 'folder-'))
const newFolder = async () => join(await newHome(), 'data')
const claim = async (folder: string, lines: unknown[] = []): Promise<DataFolder> =>
  await claimDataFolder(folder, { log: { warn: (line: unknown) => void lines.push(line) } })
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

describe('the data folder', () => {
  test('has one holder, which answers other processes on its socket', async () => {
    const folder = await newFolder()
    expect(await askHolder(folder, '/', null)).toBeUndefined()
    const held = await claim(folder)
    held.answerWith((_request, response) => response.end('"here"'))
    await expect(claim(folder)).rejects.toThrow(DataFolderInUseError)
    expect(await askHolder(folder, '/x/y', {})).toEqual({ status: 200, body: '"here"' })
    await held.release()
    await (await claim(folder)).release()
  })

  test('answers 64 requests at once, and 503 to more', async () => {
    const folder = await newFolder()
    const held = await claim(folder)
    let atOnce = 0
    const { promise: finish, resolve } = Promise.withResolvers<void>()
    held.answerWith((_request, response) => {
      atOnce++
      void finish.then(() => response.end('"here"'))
    })
    const answers = Array.from({ length: 70 }, () => askHolder(folder, '/', null))
    expect(await Promise.race(answers)).toMatchObject({ status: 503 })
    expect(atOnce).toBe(64)
    resolve()
    const statuses = (await Promise.all(answers)).map((answer) => answer?.status)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(64)
    await held.release()
  })

  test('is taken over from a killed process by one of several calls', async () => {
    const folder = await newFolder()
    const script = `import { claimDataFolder } from ${JSON.stringify(new URL('data-folder.ts', import.meta.url).href)}
    await claimDataFolder(${JSON.stringify(folder)}); console.log('held'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    await expect(claim(folder)).rejects.toThrow(DataFolderInUseError)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const claims = await Promise.allSettled([1, 2, 3, 4, 5].map(() => claim(folder)))
    const won = claims.filter((outcome) => outcome.status === 'fulfilled')
    expect(won).toHaveLength(1)
    await won[0]?.value.release()
  })

  test('keeps its holder when the lock file or the socket is deleted', async () => {
    const folder = await newFolder()
    const held = await claim(folder)
    await rm(join(folder, 'sallyport.lock'))
    await expect(claim(folder)).rejects.toThrow(DataFolderInUseError)
    await held.release()

    const again = await claim(folder)
    await rm(join(folder, 'sallyport.sock'))
    const third = claimDataFolder(folder, { waitMilliseconds: 50 })
    await expect(third).rejects.toThrow(DataFolderSilentError)
    await again.release()
  })

  test('has one holder over all paths that lead to it', async () => {
    const folder = await newFolder()
    const held = await claim(folder)
    await symlink(folder, `${folder}-link`)
    await expect(claim(`${folder}-link`)).rejects.toThrow(DataFolderInUseError)
    await held.release()
  })
})

describe('other users', () => {
  test('get no permission on a new data folder, its lock and its socket', async () => {
    const folder = await newFolder()
    const held = await claim(folder)
    expect(await modeOf(folder)).toBe('700')
    expect(await modeOf(join(folder, 'sallyport.lock'))).toBe('600')
    expect(await modeOf(join(folder, 'sallyport.sock'))).toBe('600')
    await held.release()
  })

  test('lose their permissions on a folder that was open to them, and the log says so (CWE-732)', async () => {
    for (const mode of [0o755, 0o750, 0o705, 0o777, 0o711]) {
      const folder = await newFolder()
      await mkdir(join(folder, 'postgres', 'base'), { recursive: true })
      for (const name of ['encryption.key', 'postgres/PG_VERSION', 'postgres/base/1'])
        await writeFile(join(folder, name), 'x')
      await chmod(join(folder, 'encryption.key'), 0o644)
      await chmod(join(folder, 'postgres', 'base'), 0o755)
      await chmod(join(folder, 'postgres', 'base', '1'), 0o666)
      await chmod(folder, mode)
      const lines: unknown[] = []
      const held = await claim(folder, lines)
      expect(await modeOf(folder)).toBe('700')
      expect(await modeOf(join(folder, 'encryption.key'))).toBe('600')
      expect(await modeOf(join(folder, 'postgres', 'base'))).toBe('700')
      expect(await modeOf(join(folder, 'postgres', 'base', '1'))).toBe('600')
      expect(lines).toEqual([
        expect.objectContaining({
          event: 'data_folder.tightened',
          mode: mode.toString(8),
          key_was_readable: true,
        }),
      ])
      await held.release()
      const again: unknown[] = []
      await (await claim(folder, again)).release()
      expect(again).toEqual([])
    }
  })

  test('keep their permissions on an open folder with other files, which is refused', async () => {
    const folder = await newFolder()
    await mkdir(folder)
    await writeFile(join(folder, 'report.txt'), '')
    await chmod(folder, 0o755)
    await expect(claim(folder)).rejects.toThrow(DataFolderRefusedError)
    await expect(claim(folder)).rejects.toThrow('Set DATA_DIR to a folder of its own')
    expect(await modeOf(folder)).toBe('755')
    await expect(claim(tmpdir())).rejects.toThrow(DataFolderRefusedError)
  })

  test('cannot own a data folder, and receive nothing over its socket', async () => {
    const folder = await foreignFolder()
    for (const refused of [claim(folder), askHolder(folder, '/', { password: 'secret' })])
      await expect(refused).rejects.toThrow(DataFolderRefusedError)
    await expect(claim(folder)).rejects.toThrow(/belongs to user \d+, and this process runs as user \d+/)
  })

  test('control no link: a foreign target is refused, an own target is secured', async () => {
    const home = await newHome()
    await symlink(await foreignFolder(), join(home, 'foreign'))
    await expect(claim(join(home, 'foreign'))).rejects.toThrow(DataFolderRefusedError)
    await mkdir(join(home, 'target'))
    await chmod(join(home, 'target'), 0o755)
    await symlink(join(home, 'target'), join(home, 'own'))
    const held = await claim(join(home, 'own'))
    expect(await modeOf(join(home, 'target'))).toBe('700')
    await held.release()
    await mkdir(join(home, 'volume'))
    await chmod(join(home, 'volume'), 0o755)
    await symlink(join(home, 'volume'), join(home, 'target', 'postgres'))
    await (await claim(join(home, 'target'))).release()
    expect(await modeOf(join(home, 'volume'))).toBe('700')
  })

  test('cannot redirect the lock with a planted symbolic link (CWE-59)', async () => {
    const home = await newHome()
    const [folder, elsewhere] = [join(home, 'data'), join(home, 'elsewhere')]
    await writeFile(elsewhere, '')
    await chmod(elsewhere, 0o644)
    await mkdir(folder)
    await chmod(folder, 0o777)
    for (const target of [elsewhere, join(home, 'missing')]) {
      await symlink(target, join(folder, 'sallyport.lock'))
      await expect(claim(folder)).rejects.toThrow(DataFolderRefusedError)
      await rm(join(folder, 'sallyport.lock'))
    }
    expect(await modeOf(elsewhere)).toBe('644')
    await expect(stat(join(home, 'missing'))).rejects.toThrow('ENOENT')
  })

  test('keep the permissions of a file that a link in the folder leads to', async () => {
    const home = await newHome()
    const secret = join(home, 'secret')
    await writeFile(secret, 'x')
    await chmod(secret, 0o644)
    await mkdir(join(home, 'data'), { mode: 0o700 })
    await symlink(secret, join(home, 'data', 'encryption.key'))
    await (await claim(join(home, 'data'))).release()
    expect(await modeOf(secret)).toBe('644')
  })
})

/** Root makes one; for every other user /usr is one. */
async function foreignFolder(): Promise<string> {
  if (process.getuid?.() !== 0) return '/usr'
  const folder = await newHome()
  await chown(folder, 12_345, 12_345)
  return folder
}
