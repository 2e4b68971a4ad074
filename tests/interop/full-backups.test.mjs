// Whole machines: XO's library @xen-orchestra/xapi exports them from the simulator and imports them again; XO's backup
// library lists, checks and reads the archives that we wrote.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { getSyncedHandler } from '@xen-orchestra/fs'
import { RemoteAdapter } from '@xen-orchestra/backups/RemoteAdapter.mjs'
import { Xapi } from '@xen-orchestra/xapi'
import { addPool, remove, scratch, signIn, startServer, startSim } from './box.mjs'

let sim, server, xo, xapi, folder

async function collect(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
const disks = vm => vm.$VBDs.filter(vbd => vbd.type === 'Disk').sort((a, b) => a.userdevice - b.userdevice).map(vbd => vbd.$VDI)
const digests = vm => Promise.all(disks(vm).map(async vdi => (await sim.control(`/sim/digest?vdi=${vdi.uuid}`)).sha256))

before(async () => {
  folder = await scratch()
  sim = await startSim('--vms', '2', '--disks', '2', '--disk-size', '8MiB', '--running', '0.5', '--seed', '29')
  xapi = new Xapi({ url: sim.ready.url, allowUnauthorized: true, auth: { user: 'root', password: sim.ready.password } })
  await xapi.connect()
  await xapi.objectsFetched
  server = await startServer()
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

for (const compress of [false, true, 'zstd']) {
  test(`XO's library exports a machine and imports it, compress ${compress}`, async () => {
    const vm = Object.values(xapi.objects.all).find(_ => _.$type === 'VM' && _.power_state === 'Halted' && !_.is_a_template && !_.is_control_domain)
    const response = await xapi.VM_export(vm.$ref, { compress })
    const archive = await collect(response.body ?? response)
    const stream = Readable.from([archive], { objectMode: false })
    stream.length = archive.length // else XO cuts the connection as soon as it has handed its last bytes to node
    const ref = await xapi.VM_import(stream, xapi.pool.default_SR)
    const made = await xapi.barrier(ref)
    assert.notEqual(made.uuid, vm.uuid)
    assert.deepEqual(await digests(made), await digests(vm))
    await xapi.VM_destroy(ref)
  })
}

test('XO\'s backup library reads full backups of ours', async () => {
  const remote = await xo.call('remote.create', { name: 'full', url: `file://${folder}/full` })
  const vms = Object.values(await xo.call('xo.getAllObjects', { filter: { type: 'VM' } }))
  for (const compression of ['', 'native', 'zstd']) {
    const jobId = await xo.call('backupNg.createJob', {
      name: `full ${compression}`, mode: 'full', compression, vms: { id: { __or: vms.map(_ => _.id) } }, remotes: { id: remote.id },
      schedules: { tmp: { cron: '0 0 * * *', enabled: false } }, settings: { tmp: { exportRetention: 2 } },
    })
    const schedule = (await xo.call('schedule.getAll')).find(_ => _.jobId === jobId)
    await xo.call('backupNg.runJob', { id: jobId, schedule: schedule.id })
  }
  const handler = (await getSyncedHandler({ url: `file://${folder}/full` })).value
  const adapter = new RemoteAdapter(handler)
  const warnings = []
  for (const vm of vms) {
    const directory = `/xo-vm-backups/${vm.id}`
    const options = { remove: false, merge: false, logInfo() {}, logWarn: (message, data) => warnings.push({ message, data }) }
    assert.deepEqual(await adapter.cleanVm(directory, options), { merge: false, size: 0 })
    const points = await adapter.listVmBackups(vm.id)
    assert.deepEqual(points.map(_ => _.mode), ['full', 'full', 'full'])
    for (const { _filename } of points) {
      const metadata = await adapter.readVmBackupMetadata(_filename)
      const archive = await collect(await adapter.readFullVmBackup(metadata))
      assert.equal(archive.length, metadata.size)
      const sum = await readFile(`${folder}/full${directory}/${metadata.xva}.checksum`, 'utf8')
      assert.equal(sum, `$1$$${createHash('md5').update(archive).digest('hex')}`)
    }
    const names = await readdir(`${folder}/full${directory}`)
    assert.equal(names.filter(_ => _.endsWith('.xva')).length, 3)
  }
  assert.deepEqual(warnings, [])
})

test('XO\'s clean-up deletes nothing of ours, and ours nothing of its', async () => {
  const handler = (await getSyncedHandler({ url: `file://${folder}/full` })).value
  const adapter = new RemoteAdapter(handler)
  for (const vm of await adapter.listAllVms()) {
    const before = (await readdir(`${folder}/full/xo-vm-backups/${vm}`)).sort()
    await adapter.cleanVm(`/xo-vm-backups/${vm}`, { remove: true, merge: true, logInfo() {}, logWarn() {} })
    assert.deepEqual((await readdir(`${folder}/full/xo-vm-backups/${vm}`)).sort(), before)
  }
})
