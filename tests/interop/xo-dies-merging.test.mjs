// XO's clean-up, stopped at every change that it makes: our reader finds every point whole before anything is repaired (when half
// of a change was made, it may say what is cut), our clean-up ends what XO began, and XO finds nothing to say of the result.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { cp, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { engine, ENGINE, FULL, rm, scratch, versions, World, xo } from './both-sides.mjs'
import { openAdapter, quiet, watchChanges } from './xo-peer.mjs'

const LAYOUTS = { flat: '', 'brotli directory': '?useVhdDirectory=true&vhdDirectoryCompression=%22brotli%22' }
const STEP = FULL ? 1 : 9, MAX_CHANGES = 400

// Who wrote each point of the chain; the disk grows once, and is merged across that (not where XO alone wrote block
// directories: there XO itself deletes the result as broken, whether it dies or not).
const WRITERS = { 'that XO wrote': [xo, xo, xo, xo, xo], 'that both wrote': [engine, xo, engine, xo, engine] }

async function chain(world, writers, grows) {
  await world.write(world.disks[0], [0, 1])
  for (const [i, write] of writers.entries()) {
    if (i === 2 && grows) await world.disks[0].grow(6)
    await world.write(world.disks[0], [[0, 2], [1], [grows ? 4 : 1, 2], [3, 1], [0]][i])
    await write(await world.nextRun(99))
    world.exported()
  }
  const dates = await world.points() // the first two are merged into the third, the fourth into the fifth
  for (const date of [dates[0], dates[1], dates[3]]) await unlink(join(world.repo, 'xo-vm-backups', world.vm, `${date}.json`))
}

// XO's cleanVm on a copy; how many changes it made, and whether it was stopped.
async function cleanAndDie(world, copy, nth, torn) {
  const adapter = await openAdapter(copy.url)
  let died = false
  const count = watchChanges(adapter.handler, nth, async half => {
    if (torn && !died) await half()
    died = true
    throw Object.assign(new Error('the process is dead'), { code: 'ERR_ASSERTION' })
  })
  await adapter.cleanVm(`/xo-vm-backups/${world.vm}`, { remove: true, merge: true, lock: false, ...quiet }).catch(error => assert.ok(died, error))
  return { died, changes: count.n }
}

async function metadataIsTrue(world, copy, what) {
  for (const date of await world.points(copy.repo)) {
    const point = JSON.parse(await readFile(join(copy.repo, 'xo-vm-backups', world.vm, `${date}.json`)))
    const [[ref, path]] = Object.entries(point.vhds)
    const adapter = await openAdapter(copy.url)
    const { RemoteVhdDisk } = await import('@xen-orchestra/backup-archive/disks')
    const disk = new RemoteVhdDisk({ handler: adapter.handler, path: `/xo-vm-backups/${world.vm}/${path}` })
    await disk.init()
    assert.equal(point.isVhdDifferencing[ref], disk.isDifferencing(), `${what}: isVhdDifferencing of ${date}`)
    assert.equal(point.size, disk.getSizeOnDisk(), `${what}: size of ${date}`)
    await disk.close()
    await adapter.handler.forget()
  }
}

async function nothingToSay(world, copy, what) {
  const adapter = await openAdapter(copy.url), said = []
  await adapter.cleanVm(`/xo-vm-backups/${world.vm}`, { lock: false, logInfo() {}, logWarn: (...words) => said.push(words) })
  await adapter.handler.forget()
  assert.deepEqual(said, [], `${what}: XO's check`)
}

async function dieAt(world, nth, torn) {
  const what = `XO died at change ${nth}${torn ? ', half of it done' : ''}`
  const copy = await world.copy(), points = await world.points()
  const { died } = await cleanAndDie(world, copy, nth, torn)
  if (process.env.CADENZA_KEEP) await cp(copy.repo, `${copy.repo}-${nth}-${torn}`, { recursive: true })
  assert.deepEqual(await world.points(copy.repo), points, `${what}: its points`)
  await world.readByUs(what, copy, torn)
  await world.cleanByUs(copy)
  assert.deepEqual(await world.points(copy.repo), points, `${what}, and we cleaned: its points`)
  await world.readByUs(`${what}, and we cleaned`, copy)
  await world.readByXo(`${what}, and we cleaned`, copy)
  const left = (await world.listing(copy.repo)).filter(_ => /\.vhd|json/.test(_) && !_.includes('/data/')).length
  assert.equal(left, points.length, `${what}, and we cleaned: ${await world.listing(copy.repo)}`)
  await metadataIsTrue(world, copy, what)
  await nothingToSay(world, copy, what)
  return died
}

for (const [layout, options] of Object.entries(LAYOUTS))
  for (const [kind, writers] of Object.entries(WRITERS))
    test(`${layout}, a chain ${kind}: what XO leaves half merged, we end`, async t => {
      if (!existsSync(ENGINE)) return t.skip('the build with sanitizers is not there')
      t.diagnostic(await versions('@xen-orchestra/backup-archive', 'vhd-lib'))
      const folder = await scratch()
      try {
        const world = await World.create({ folder, options, sizes: [4] })
        await chain(world, writers, options === '' || writers.includes(engine))
        assert.equal((await world.points()).length, 2)
        let nth = 1, died = true
        for (; died; nth += STEP) {
          assert.ok(nth < MAX_CHANGES)
          died = await dieAt(world, nth, nth % 2 === 0)
          if (FULL && died) await dieAt(world, nth, nth % 2 === 1)
        }
        t.diagnostic(`stopped ${Math.ceil((nth - STEP) / STEP)} times`)
        assert.ok(nth > 15)
      } finally {
        if (!process.env.CADENZA_KEEP) await rm(folder, { recursive: true, force: true })
      }
    })
