// XO's own backup steps on a pool, by its library @xen-orchestra/xapi against the simulator: a snapshot, its export, a
// restored VM made of it, started while blocked and then freed, all of it destroyed again.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { Xapi } from '@xen-orchestra/xapi'
import { startSim } from './box.mjs'

const SIZE = 64 << 20
let sim, xapi, vm, snapshot, disk, restored
const byType = type => Object.values(xapi.objects.all).filter(object => object.$type === type)
const digest = async vdi => (await sim.control(`/sim/digest?vdi=${vdi.uuid}`)).sha256
async function collect(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

before(async () => {
  sim = await startSim('--hosts', '2', '--vms', '3', '--disk-size', '64MiB', '--running', '1', '--boot-delay', '0.2', '--seed', '19')
  xapi = new Xapi({ url: sim.ready.url, allowUnauthorized: true, auth: { user: 'root', password: sim.ready.password } })
  await xapi.connect()
  await xapi.objectsFetched
  vm = byType('VM').find(object => object.power_state === 'Running' && !object.is_control_domain)
})
after(async () => {
  await xapi?.disconnect()
  await sim?.stop()
})

test('a healthy chain and a snapshot with its marks', async () => {
  await vm.$assertHealthyVdiChains()
  snapshot = await xapi.barrier(await vm.$snapshot({ name_label: 'by XO' }))
  await snapshot.update_other_config({ 'xo:backup:job': 'a job', mac_seed: null })
  const now = await xapi.call('VM.get_other_config', snapshot.$ref)
  assert.equal(now['xo:backup:job'], 'a job')
  assert.equal(now.mac_seed, undefined)
  disk = snapshot.$VBDs.map(vbd => vbd.$VDI).find(vdi => vdi !== undefined)
  assert.equal(disk.$snapshot_of.$VBDs[0].$VM.$ref, vm.$ref)
})

test('exports and an import give the same bytes', async () => {
  assert.equal((await collect(await disk.$exportContent({ format: 'raw' }))).length, SIZE)
  const vhd = await collect(await disk.$exportContent({ format: 'vhd' }))
  const ref = await xapi.VDI_create({ name_label: 'restored', SR: xapi.pool.default_SR, virtual_size: SIZE })
  const stream = Readable.from([vhd], { objectMode: false })
  stream.length = vhd.length
  await xapi.VDI_importContent(ref, stream, { format: 'vhd' })
  restored = await xapi.barrier(ref)
  assert.equal(await digest(restored), await digest(disk))
})

test('a VM made of a snapshot record is blocked, then starts', async () => {
  const { network } = vm.$VIFs[0]
  const ref = await xapi.VM_create({
    ...snapshot, name_label: 'restored', is_a_template: false, blocked_operations: { start: 'Importing…' },
  })
  await xapi.VBD_create({ VDI: restored.$ref, VM: ref, userdevice: '0', bootable: true, mode: 'RW', type: 'Disk' })
  await xapi.VIF_create({ VM: ref, network, MAC: '', device: '0' })
  await assert.rejects(xapi.callAsync('VM.start', ref, false, false), error => {
    assert.deepEqual([error.code, error.params], ['OPERATION_BLOCKED', [ref, 'Importing…']])
    return true
  })
  const made = await xapi.barrier(ref)
  await made.update_blocked_operations({ start: null })
  await xapi.callAsync('VM.start', ref, false, false)
  await xapi.callAsync('VM.hard_shutdown', ref)
  await xapi.VM_destroy(ref)
  await xapi.VM_destroy(snapshot.$ref)
  const left = Object.values(await xapi.call('VDI.get_all_records')).filter(vdi => vdi.name_label === 'restored')
  assert.deepEqual(left, [])
})
