// One job, one pool, one repository, two programs by turns: our server, and XO's own runner of incremental backups. Each finds
// the other's snapshot by XO's keys and writes the next delta of the same chain, in its layout and its codec.
import assert from 'node:assert/strict'
import { readFile, readdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { Xapi } from '@xen-orchestra/xapi'
import { IncrementalXapi } from '@xen-orchestra/backups/_runners/_vmRunners/IncrementalXapi.mjs'
import { digestByXo, versions } from './both-sides.mjs'
import { addPool, remove, scratch, signIn, startServer, startSim } from './box.mjs'
import { openAdapter } from './xo-peer.mjs'

const LAYOUTS = { 'flat': '', 'a block directory that XO began, on a remote set to nothing': '?useVhdDirectory=true' }
const RUNS = ['XO', 'we', 'XO', 'we', 'we', 'XO'], KEEP = 3
let sim, server, xo, xapi, folder

const objects = async filter => Object.values(await xo.call('xo.getAllObjects', { filter }))

before(async () => {
  folder = await scratch()
  sim = await startSim('--hosts', '1', '--vms', '1', '--disk-size', '48MiB', '--running', '1', '--seed', '29')
  server = await startServer()
  const auth = { user: 'root', password: sim.ready.password }
  xapi = new Xapi({ url: sim.ready.url, allowUnauthorized: true, auth })
  await xapi.connect()
  await xapi.objectsFetched
  xo = await signIn(server)
  await addPool(xo, sim)
})
after(async () => {
  await xo?.close()
  await xapi?.disconnect()
  await server?.stop()
  await sim?.stop()
  await remove(folder)
})

async function runXo(url, vmUuid, jobId, schedule) {
  const settings = {
    exportRetention: KEEP, snapshotRetention: 0, copyRetention: 0, fullInterval: 0, maxMergedDeltasPerRun: Infinity, diskPerVmConcurrency: 0,
    mergeBackupsSynchronously: true, offlineBackup: false, offlineSnapshot: false, checkpointSnapshot: false, preferNbd: false, healthCheckVmsWithTags: [],
    longTermRetention: {},
  }
  const adapter = await openAdapter(url), vm = await xapi.barrier(xapi.getObject(vmUuid).$ref)
  const runner = new IncrementalXapi({
    config: { writeBlockConcurrency: 16, mergeBlockConcurrency: 2, disableMergeWorker: true }, settings, schedule, vm, srs: [],
    getSnapshotNameLabel: _ => `[XO Backup by turns] ${_.name_label}`, job: { id: jobId, mode: 'delta', settings: {} },
    remoteAdapters: { remote: adapter }, remotes: [], throttleGenerator: { createThrottledGenerator: _ => _ }, throttleStream: _ => _,
  })
  await runner.run()
  await adapter.handler.forget()
}

async function pointsOf(path, vm) {
  const names = (await readdir(`${path}/xo-vm-backups/${vm}`)).filter(_ => _.endsWith('.json')).sort()
  return Promise.all(names.map(async _ => JSON.parse(await readFile(`${path}/xo-vm-backups/${vm}/${_}`))))
}

// Names of points have seconds.
async function nextSecond(ms) {
  while (Math.floor(Date.now() / 1000) <= Math.floor(ms / 1000)) await new Promise(resolve => setTimeout(resolve, 50))
}

for (const [layout, options] of Object.entries(LAYOUTS))
  test(`${layout}: each continues the other's chain`, async t => {
    t.diagnostic(await versions('@xen-orchestra/backups', '@xen-orchestra/xapi', 'xen-api'))
    const path = `${folder}/${options ? 'blocks' : 'flat'}`, url = `file://${path}${options}`
    const remote = await xo.call('remote.create', { name: layout, url })
    const [vm] = await objects({ type: 'VM' })
    const jobId = await xo.call('backupNg.createJob', {
      name: 'by turns', mode: 'delta', vms: { id: vm.id }, remotes: { id: remote.id },
      schedules: { tmp: { cron: '0 0 * * *', enabled: false } }, settings: { tmp: { exportRetention: KEEP } },
    })
    const schedule = (await xo.call('schedule.getAll')).find(_ => _.jobId === jobId)
    const truth = new Map() // snapshot VDI → what it held
    let last, lastMs = 0
    for (const [i, who] of RUNS.entries()) {
      await sim.control('/sim/write', { vm: vm.id, bytes: 5 << 20, seed: 40 + i })
      await nextSecond(lastMs)
      if (who === 'XO') await runXo(url, vm.id, jobId, schedule)
      else await xo.call('backupNg.runJob', { id: jobId, schedule: schedule.id })
      const points = await pointsOf(path, vm.id), point = points.at(-1)
      lastMs = point.timestamp
      assert.equal(points.length, Math.min(i + 1, KEEP), `after run ${i + 1}, by ${who}`)
      for (const [ref, vdi] of Object.entries(point.vdis)) {
        assert.equal(point.isVhdDifferencing[ref], i > 0, `run ${i + 1}, by ${who}: a delta`)
        if (i > 0) assert.equal(vdi.other_config['xo:base_delta_vdi'], last.get(vdi.$snapshot_of$uuid), `run ${i + 1}, by ${who}: its base`)
        truth.set(vdi.uuid, (await sim.control(`/sim/digest?vdi=${vdi.uuid}`)).sha256)
      }
      last = new Map(Object.values(point.vdis).map(_ => [_.$snapshot_of$uuid, _.uuid]))
      const adapter = await openAdapter(url)
      for (const each of points)
        for (const [ref, vhd] of Object.entries(each.vhds)) {
          assert.equal(await digestByXo(adapter.handler, `/xo-vm-backups/${vm.id}/${vhd}`), truth.get(each.vdis[ref].uuid), `run ${i + 1}: XO reads ${vhd}`)
          const codec = await readFile(`${path}/xo-vm-backups/${vm.id}/${vhd}`.replace(/([^/]+)\.alias\.vhd$/, 'data/$1.vhd/chunk-filters.json'), 'utf8').catch(() => '')
          if (options && codec) assert.equal(codec, '["brotli"]', `run ${i + 1}: the chain keeps its codec`)
        }
      await adapter.handler.forget()
    }
    const listed = await xo.call('backupNg.listVmBackups', { remotes: [remote.id] })
    assert.equal(listed[remote.id][vm.id].length, KEEP)
  })
