import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { askHolder, claimDataFolder, DataFolderInUseError } from './data-folder.ts'

const newFolder = async () => join(await mkdtemp(join(tmpdir(), 'folder-')), 'data')

test('one process holds a folder, and answers others on its socket', async () => {
  const folder = await newFolder()
  expect(await askHolder(folder, '/', null)).toBeUndefined()
  const held = await claimDataFolder(folder)
  held.answerWith((_request, response) => response.end('"here"'))
  await expect(claimDataFolder(folder)).rejects.toThrow(DataFolderInUseError)
  expect(await askHolder(folder, '/x/y', {})).toEqual({ status: 200, body: '"here"' })
  await held.release()
  const again = await claimDataFolder(folder)
  await again.release()
})

test('the folder is for its owner alone', async () => {
  const folder = await newFolder()
  const held = await claimDataFolder(folder)
  expect((await stat(folder)).mode & 0o777).toBe(0o700)
  await held.release()
})

test('what a killed process left behind is taken over, by one of many', async () => {
  const folder = await newFolder()
  const script = `import { claimDataFolder } from ${JSON.stringify(new URL('data-folder.ts', import.meta.url).href)}
    await claimDataFolder(${JSON.stringify(folder)}); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await expect(claimDataFolder(folder)).rejects.toThrow(DataFolderInUseError)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const claims = await Promise.allSettled([1, 2, 3, 4, 5].map(() => claimDataFolder(folder)))
  const won = claims.filter((claim) => claim.status === 'fulfilled')
  expect(won).toHaveLength(1)
  await won[0]?.value.release()
})
