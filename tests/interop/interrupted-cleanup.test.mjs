// Our clean-up of a repository, killed at every point of it: XO's own cleanVm, run on what is left, keeps every point and
// reads the same bytes. The repositories are made by the crash test of the catalog, from the build with sanitizers.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, statfs, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { getSyncedHandler } from '@xen-orchestra/fs'
import { openDiskChain } from '@xen-orchestra/backup-archive/disks'
import { RemoteAdapter } from '@xen-orchestra/backups/RemoteAdapter.mjs'

const MAKER = new URL('../../build-asan/tests/unit/test_catalog_crash', import.meta.url).pathname
const NEEDED_BYTES = 4 * 2 ** 30
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

async function digest(disk) {
  const hash = createHash('sha256'), size = disk.getVirtualSize(), block = disk.getBlockSize()
  const zeros = Buffer.alloc(block), has = new Set(disk.getBlockIndexes())
  for (let i = 0; i * block < size; i++) {
    const data = has.has(i) ? (await disk.readBlock(i)).data : zeros
    hash.update(data.subarray(0, Math.min(block, size - i * block)))
  }
  return hash.digest('hex')
}

async function checkOne(folder, name) {
  const expected = JSON.parse(await readFile(join(folder, 'expected.json')))
  await unlink(join(folder, 'expected.json'))
  const options = name.startsWith('alias.') ? '?useVhdDirectory=true' : ''
  const { value: handler, dispose } = await getSyncedHandler({ url: `file://${folder}${options}` })
  const [vm] = (await readdir(join(folder, 'xo-vm-backups'))).filter(_ => !_.endsWith('.lock'))
  const adapter = new RemoteAdapter(handler, { vhdDirectoryCompression: 'none' })
  for (let n = 0; n < 2; n++)
    await adapter.cleanVm(`/xo-vm-backups/${vm}`, { remove: true, merge: true, logInfo() {}, logWarn() {} })
  for (const [path, sum] of Object.entries(expected)) {
    const point = path.split('/').pop().slice(0, 16)
    assert.ok(existsSync(join(folder, 'xo-vm-backups', vm, `${point}.json`)), `${name}: XO deleted ${point}`)
    const disk = await openDiskChain({ handler, path: `/xo-vm-backups/${vm}/${path}` })
    assert.equal(await digest(disk), sum, `${name}: ${path}`)
    await disk.close()
  }
  await dispose()
}

test('XO goes on wherever our clean-up was killed', async t => {
  if (!existsSync(MAKER))
    return t.skip('the build with sanitizers is not there')
  const { bavail, bsize } = await statfs(place)
  if (bavail * bsize < NEEDED_BYTES)
    return t.skip(`${place} has less than 4 GiB free`)
  const folder = await mkdtemp(join(place, 'cadenza-crashed-'))
  try {
    await promisify(execFile)(MAKER, { env: { ...process.env, CADENZA_CRASHED_TO: folder } })
    const all = (await readdir(folder)).sort()
    assert.ok(all.length > 60)
    const names = process.env.CADENZA_FULL ? all : all.filter((_, i) => i % 4 === 0)
    for (const name of names) {
      await checkOne(join(folder, name), name)
      await rm(join(folder, name), { recursive: true })
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
