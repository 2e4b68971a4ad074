// What another reader sees: XO's own libraries open every point that we wrote, flat and as block directories, chains and
// merged ones, and find the bytes of the simulator's generator.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { getSyncedHandler } from '@xen-orchestra/fs'
import { openDiskChain } from '@xen-orchestra/backup-archive/disks'
import { RemoteAdapter } from '@xen-orchestra/backups/RemoteAdapter.mjs'
import { addPool, remove, scratch, signIn, startServer, startSim } from './box.mjs'

const LAYOUTS = {
  flat: '',
  'gzip directory': '?useVhdDirectory=true&vhdDirectoryCompression=%22gzip%22',
  'brotli directory': '?useVhdDirectory=true&vhdDirectoryCompression=%22brotli%22',
}
let sim, server, xo, folder

const objects = async filter => Object.values(await xo.call('xo.getAllObjects', { filter }))

async function digest(disk) {
  const hash = createHash('sha256'), size = disk.getVirtualSize(), block = disk.getBlockSize()
  const zeros = Buffer.alloc(block), has = new Set(disk.getBlockIndexes())
  for (let i = 0; i * block < size; i++) {
    const data = has.has(i) ? (await disk.readBlock(i)).data : zeros
    hash.update(data.subarray(0, Math.min(block, size - i * block)))
  }
  return hash.digest('hex')
}

before(async () => {
  folder = await scratch()
  sim = await startSim('--hosts', '1', '--vms', '2', '--disk-size', '48MiB', '--running', '1', '--seed', '23')
  server = await startServer()
  xo = await signIn(server)
  await addPool(xo, sim)
})
after(async () => {
  await xo?.close()
  await server?.stop()
  await sim?.stop()
  await remove(folder)
})

for (const [layout, options] of Object.entries(LAYOUTS)) {
  test(`${layout}: every point of a chain, with merges, reads as the pool had it`, async () => {
    const path = `${folder}/${layout.replace(' ', '-')}`
    const remote = await xo.call('remote.create', { name: layout, url: `file://${path}${options}` })
    const vms = await objects({ type: 'VM' })
    const jobId = await xo.call('backupNg.createJob', {
      name: layout, mode: 'delta', vms: { id: { __or: vms.map(_ => _.id) } }, remotes: { id: remote.id },
      schedules: { tmp: { cron: '0 0 * * *', enabled: false } }, settings: { tmp: { exportRetention: 3 } },
    })
    const schedule = (await xo.call('schedule.getAll')).find(_ => _.jobId === jobId)
    const truth = new Map() // snapshot VDI uuid → SHA-256 by the generator
    for (let run = 0; run < 5; run++) {
      await xo.call('backupNg.runJob', { id: jobId, schedule: schedule.id })
      for (const snapshot of await objects({ type: 'VDI-snapshot' }))
        if (!truth.has(snapshot.id)) truth.set(snapshot.id, (await sim.control(`/sim/digest?vdi=${snapshot.id}`)).sha256)
      for (const vm of vms) await sim.control('/sim/write', { vm: vm.id, bytes: 6 << 20, seed: run + 1 })
    }
    let n_disks = 0
    const handler = (await getSyncedHandler({ url: `file://${path}${options}` })).value
    for (const vm of vms) {
      const points = (await readdir(`${path}/xo-vm-backups/${vm.id}`)).filter(_ => _.endsWith('.json'))
      assert.equal(points.length, 3)
      for (const point of points) {
        const meta = JSON.parse(await readFile(`${path}/xo-vm-backups/${vm.id}/${point}`))
        for (const [ref, vhd] of Object.entries(meta.vhds)) {
          const disk = await openDiskChain({ handler, path: `/xo-vm-backups/${vm.id}/${vhd}` })
          assert.equal(await digest(disk), truth.get(meta.vdis[ref].uuid), `${point} ${vhd}`)
          await disk.close()
          n_disks++
        }
      }
    }
    assert.ok(n_disks >= 6)
  })

  test(`${layout}: XO's own check finds nothing to say`, async () => {
    const path = `${folder}/${layout.replace(' ', '-')}`
    const handler = (await getSyncedHandler({ url: `file://${path}${options}` })).value
    const adapter = new RemoteAdapter(handler, { vhdDirectoryCompression: layout.startsWith('gzip') ? 'gzip' : 'brotli' })
    const warnings = []
    for (const vm of await adapter.listAllVms()) {
      const result = await adapter.cleanVm(`/xo-vm-backups/${vm}`, { remove: false, merge: false, logInfo() {}, logWarn: (message, data) => warnings.push({ message, data }) })
      assert.equal(result.merge, false)
    }
    assert.deepEqual(warnings, [])
  })
}
