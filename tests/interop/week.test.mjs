// A week in the life of a repository: our engine and XO's libraries by turns over the same chains, retention 3, with one side
// or the other killed now and then, wherever it was. After every run each point must read as the disk was, by both readers.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dateOf, engine, ENGINE, FULL, randomFrom, rm, scratch, seedOf, versions, World, xo } from './both-sides.mjs'

const LAYOUTS = { flat: '', 'brotli directory': '?useVhdDirectory=true&vhdDirectoryCompression=%22brotli%22' }
const N_RUNS = FULL ? 40 : 10, KEEP = 3, CRASH = 0.45, GROWTH = 0.15, MAX_BLOCKS = 12

// Where ours can be stopped: the names of CRASH_POINT.
const OUR_POINTS = [
  'catalog_disk_written', 'catalog_disk_named', 'catalog_commit_manifest', 'catalog_commit_point', 'catalog_delete_point',
  'merge_noted', 'merge_flat_mark', 'merge_flat_footer', 'merge_directory_mark', 'merge_directory_footer', 'merge_marked',
  'merge_blocks_done', 'merge_manifest', 'merge_renamed', 'member_drop_named', 'merge_children_dropped', 'merge_note_dropped',
  'fork_written', 'fork_manifest', 'fork_aliased', 'fork_moved',
  'refresh_written', 'clean_dropped', 'clean_settled', 'remote_put_written', 'remote_put_named', 'remote_chunk_written',
]

async function live(world, random) {
  for (const disk of world.disks) {
    if (random.chance(GROWTH) && disk.nBlocks < MAX_BLOCKS) await disk.grow(disk.nBlocks + 1 + random.below(2))
    const blocks = new Set(Array.from({ length: random.below(3) }, () => random.below(disk.nBlocks)))
    await world.write(disk, blocks)
  }
}

// Mostly where the run before came along, so that the most of them die.
function pickPoint(world, random) {
  if (!world.visits || random.chance(0.25)) return `${random.pick(OUR_POINTS)}:${1 + random.below(2)}`
  const name = random.pick([...new Set(world.visits)].sort())
  return `${name}:${1 + random.below(world.visits.filter(_ => _ === name).length)}`
}

async function runOurs(world, request, random, crash) {
  const point = crash && pickPoint(world, random), visits = join(world.folder, 'visits')
  await rm(visits, { force: true })
  const ended = await engine(request, point, visits)
  if (!ended.died) world.visits = (await readFile(visits, 'utf8')).trim().split('\n')
  if (ended.exported) world.exported()
  if (!ended.died) world.forked = false
  return { ...ended, what: crash ? `we, to die at ${point}` : 'we' }
}

// When a run dies between its point and the mark on its snapshot, the base has a child already. We then begin a new chain; XO
// hangs a second child on it. The next clean-up of ours puts it on the first; where ours is killed before that we come once more,
// for XO's next merge would lose one of the two, with no help of ours.
async function runXo(world, request, random, crash) {
  if (world.forked) await world.cleanByUs()
  world.forked = world.continued
  const dieAt = crash ? 1 + random.below(world.xoChanges ?? 60) : undefined, torn = random.chance(0.5)
  const ended = await xo({ ...request, dieAt, torn })
  if (!ended.died) {
    world.exported()
    world.xoChanges = ended.changes
  }
  return { ...ended, torn, what: crash ? `XO, to die at change ${dieAt}${torn ? ', half of it done' : ''}` : 'XO' }
}

// Retention may take the oldest, nothing else may go.
function checkRetention(what, before, after, date, died) {
  const all = [...before, date]
  if (!died) return assert.deepEqual(after, all.slice(-KEEP), `${what}: what retention leaves`)
  const kept = after.includes(date) ? all.slice(-KEEP) : before
  for (const point of kept) assert.ok(after.includes(point), `${what}: ${point} is gone`)
}

async function oneRun(world, random, i) {
  const ours = i % 2 === 0, crash = i > 2 && random.chance(CRASH)
  await live(world, random)
  const before = await world.points(), request = await world.nextRun(KEEP), date = dateOf(request.timeMs)
  const { died, full, torn, exported, what } = await (ours ? runOurs : runXo)(world, request, random, crash)
  const title = `run ${i + 1} (${date}), ${what}`
  await world.age()
  try {
    const after = await world.points()
    checkRetention(title, before, after, date, died)
    if (died && !exported && after.includes(date)) world.continued = true
    await world.readByUs(title, world, died && torn)
    if (!died) await world.readByXo(title)
    else await afterCrash(world, `${title}; after it`, ours)
  } catch (error) {
    error.message = `${title}: ${error.message}`
    throw error
  }
  return { ours, died, full, crash, forked: !ours && world.forked }
}

// The other side cleans a copy of what is left; who crashed goes on with the original.
async function afterCrash(world, what, ours) {
  const copy = await world.copy(), points = await world.points()
  if (ours) await world.cleanByXo(copy)
  else await world.cleanByUs(copy)
  assert.deepEqual(await world.points(copy.repo), points, `${what}, cleaned by the other: its points`)
  await world.readByXo(what, copy)
  await world.readByUs(what, copy)
}

for (const [layout, options] of Object.entries(LAYOUTS))
  test(`${layout}: ${N_RUNS} runs by turns, and every point is there after each`, async t => {
    if (!existsSync(ENGINE)) return t.skip('the build with sanitizers is not there')
    t.diagnostic(await versions('@xen-orchestra/backups', '@xen-orchestra/backup-archive', '@xen-orchestra/fs', 'vhd-lib'))
    const seed = seedOf(t), random = randomFrom(seed), folder = await scratch()
    let failed = true
    try {
      const world = await World.create({ folder, options, sizes: [5, 3] })
      for (const disk of world.disks) await world.write(disk, [0, 1])
      const runs = []
      for (let i = 0; i < N_RUNS; i++) runs.push(await oneRun(world, random, i).catch(error => {
        error.message = `seed ${seed}: ${error.message}`
        throw error
      }))
      const deltas = ours => runs.filter((_, i) => i > 0 && _.ours === ours && _.full === false).length
      const forks = runs.filter(_ => _.forked).length
      t.diagnostic(`${runs.filter(_ => _.died).length} killed; deltas: ${deltas(true)} ours, ${deltas(false)} XO's; ${forks} forks`)
      assert.ok(deltas(true) > 0 && deltas(false) > 0, 'each continued what the other began')
      failed = false
    } finally {
      if (!failed || !process.env.CADENZA_KEEP) await rm(folder, { recursive: true, force: true })
    }
  })
