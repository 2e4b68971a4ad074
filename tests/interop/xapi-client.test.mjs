// XO's own XAPI client, the npm package xen-api, against the simulator: it connects, watches objects, calls methods and
// gets the errors that it expects.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createClient } from 'xen-api'
import { startSim } from './box.mjs'

let sim, xapi
const byType = type => Object.values(xapi.objects.all).filter(object => object.$type === type)
const aVm = power => byType('VM').find(vm =>
  !vm.is_a_template && !vm.is_a_snapshot && !vm.is_control_domain && (power === undefined || vm.power_state === power))
const rejectsWith = (promise, code) => assert.rejects(promise, error => {
  assert.equal(error.code, code)
  return true
})
// Waits until the client's own cache, fed by events, shows it.
async function until(what, condition) {
  for (let i = 0; i < 200; i++) {
    const value = condition()
    if (value) return value
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  assert.fail(`the client never saw: ${what}`)
}

before(async () => {
  sim = await startSim('--hosts', '2', '--vms', '6', '--disk-size', '64MiB', '--running', '0.5', '--boot-delay', '1', '--seed', '7')
  xapi = createClient({ url: sim.ready.url, allowUnauthorized: true, auth: { user: 'root', password: sim.ready.password } })
  await xapi.connect()
  await xapi.objectsFetched
})
after(async () => {
  await xapi?.disconnect()
  await sim?.stop()
})

test('connects and fetches every class', () => {
  assert.equal(byType('pool').length, 1)
  assert.equal(byType('host').length, 2)
  assert.ok(byType('VM').length >= 6)
  for (const vm of byType('VM')) for (const vbd of vm.$VBDs) assert.equal(vbd.$VM.$ref, vm.$ref)
  for (const sr of byType('SR')) for (const pbd of sr.$PBDs) assert.ok(pbd.$host)
})

test('sees a VM start and stop through events', async () => {
  const { $ref } = aVm('Halted')
  await xapi.callAsync('VM.start', $ref, false, false)
  await until('Running', () => xapi.getObject($ref).power_state === 'Running')
  const metrics = xapi.getObject($ref).guest_metrics
  assert.notEqual(metrics, 'OpaqueRef:NULL')
  await until('the tools', () => xapi.getObject(metrics).PV_drivers_detected)
  await xapi.callAsync('VM.hard_shutdown', $ref)
  await until('Halted', () => xapi.getObject($ref).power_state === 'Halted')
})

test('gets the errors it expects', async () => {
  const { $ref } = aVm('Running')
  await assert.rejects(xapi.call('VM.start', $ref, false, false), error => {
    assert.equal(error.code, 'VM_BAD_POWER_STATE')
    assert.deepEqual(error.params, [$ref, 'halted', 'running'])
    return true
  })
  await rejectsWith(xapi.callAsync('VM.start', $ref, false, false), 'VM_BAD_POWER_STATE')
  await rejectsWith(xapi.call('VM.get_record', 'OpaqueRef:nothing'), 'HANDLE_INVALID')
  await rejectsWith(xapi.call('VM.get_by_uuid', 'nothing'), 'UUID_INVALID')
  await rejectsWith(xapi.call('VM.no_such_method'), 'MESSAGE_METHOD_UNKNOWN')
  await rejectsWith(xapi.call('VM.start'), 'MESSAGE_PARAMETER_COUNT_MISMATCH')
})

test('a wrong password is refused', async () => {
  const other = createClient({ url: sim.ready.url, allowUnauthorized: true, auth: { user: 'root', password: 'wrong' } })
  await rejectsWith(other.connect(), 'SESSION_AUTHENTICATION_FAILED')
})

test('the barrier sees what came before it', async () => {
  const { $ref } = aVm()
  await xapi.call('VM.set_name_description', $ref, 'behind the barrier')
  const seen = await xapi.barrier($ref)
  assert.equal(seen.name_description, 'behind the barrier')
})

test('a snapshot is a VM of its own, with its disks', async () => {
  const { $ref, name_label } = aVm('Running')
  const snapshotRef = await xapi.callAsync('VM.snapshot', $ref, `${name_label} snapshot`)
  const snapshot = await xapi.barrier(snapshotRef.result ?? snapshotRef)
  assert.equal(snapshot.is_a_snapshot, true)
  assert.equal(snapshot.snapshot_of, $ref)
  const disks = snapshot.$VBDs.filter(vbd => vbd.type === 'Disk').map(vbd => vbd.$VDI)
  assert.ok(disks.length > 0)
  for (const disk of disks) assert.equal(disk.is_a_snapshot, true)
})

test('a watched task ends, with the error of what failed', async () => {
  const task = await xapi.call('task.create', 'a test', 'waits')
  const watched = xapi.watchTask(task)
  await xapi.call('task.set_status', task, 'failure')
  await assert.rejects(watched)
})

test('a new session after the old one expired', async () => {
  await sim.control('/sim/sessions/expire', {})
  assert.equal((await xapi.call('pool.get_all')).length, 1)
})
