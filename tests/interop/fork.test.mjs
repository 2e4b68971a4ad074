// A chain that forks: a run dies between its point and the mark on its snapshot, so XO's next run hangs a second child on the
// same base. XO's next merge gives the base to one of the two, and what stood on the other is lost. One clean-up of ours before
// that puts the newer on the older: then XO merges, and every point is there by both readers.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { test } from 'node:test'
import { dateOf, engine, ENGINE, FULL, rm, scratch, versions, World, xo } from './both-sides.mjs'

const LAYOUTS = { flat: '', 'brotli directory': '?useVhdDirectory=true&vhdDirectoryCompression=%22brotli%22' }
const KEEP = 3
// The side whose run dies before its mark; the disk changes and grows between the runs.
const FIRST = { 'XO died': [xo, false], 'XO died, and the VM was reverted': [xo, true], 'we died, and the VM was reverted': [engine, true] }
const QUICK = ['flat, XO died', 'brotli directory, we died, and the VM was reverted']

async function backUp(world, write, blocks, grows) {
  if (grows) await world.disks[0].grow(world.disks[0].nBlocks + 2)
  await world.write(world.disks[0], blocks)
  const request = await world.nextRun(KEEP)
  await write(request)
  return dateOf(request.timeMs)
}

// The disk as it is now, to go back to: what was written since is no change of it then.
async function snapshot({ raw, nBlocks, allocated, changed }) {
  await copyFile(raw, `${raw}.then`)
  return { nBlocks, allocated: new Set(allocated), changed: new Set(changed) }
}
async function revert(disk, then) {
  await copyFile(`${disk.raw}.then`, disk.raw)
  Object.assign(disk, then)
}

// A base, the point of the run that died, and its rival, whose delta holds all that the dead run's held, unless the VM was
// reverted in between.
async function fork(world, first, reverted) {
  await backUp(world, xo, [0, 1, 2])
  world.exported()
  const then = await snapshot(world.disks[0])
  await backUp(world, first, [1, 3])
  if (reverted) await revert(world.disks[0], then)
  const rival = await backUp(world, xo, [0], true)
  world.exported()
  return rival
}

for (const [layout, options] of Object.entries(LAYOUTS))
  for (const [who, [first, reverted]] of Object.entries(FIRST).filter(([who]) => FULL || QUICK.includes(`${layout}, ${who}`)))
    test(`${layout}, ${who}: both branches stay`, async t => {
      if (!existsSync(ENGINE)) return t.skip('the build with sanitizers is not there')
      t.diagnostic(await versions('@xen-orchestra/backups', '@xen-orchestra/backup-archive', 'vhd-lib'))
      const folder = await scratch()
      try {
        const world = await World.create({ folder, options, sizes: [4] })
        const rival = await fork(world, first, reverted)
        await world.readByUs('forked')
        await world.readByXo('forked')
        await world.age()
        await world.cleanByUs()
        await world.readByUs('cleaned by us')
        await world.readByXo('cleaned by us')
        for (const blocks of [[2], [1, 4], [0]]) {
          const date = await backUp(world, xo, blocks)
          world.exported()
          const points = await world.points()
          assert.equal(points.length, KEEP, `after ${date}: ${points}`)
          await world.readByXo(`after ${date}`)
          await world.readByUs(`after ${date}`)
        }
        assert.ok(!(await world.points()).includes(rival), 'the rival was merged, too')
      } finally {
        if (!process.env.CADENZA_KEEP) await rm(folder, { recursive: true, force: true })
      }
    })
