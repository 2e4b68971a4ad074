// XO's own client library, the npm package xo-lib, against the server: it signs in, lists objects, gets notifications, runs a
// job and restores.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { remove, scratch, signIn, startServer, startSim } from './box.mjs'

let sim, server, xo, folder

const objects = async filter => Object.values(await xo.call('xo.getAllObjects', { filter }))
async function until(what, condition) {
  for (let i = 0; i < 300; i++) {
    const value = await condition()
    if (value) return value
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  assert.fail(`never saw: ${what}`)
}

before(async () => {
  folder = await scratch()
  sim = await startSim('--hosts', '2', '--vms', '3', '--disk-size', '64MiB', '--running', '1', '--seed', '11')
  server = await startServer()
  xo = await signIn(server)
})
after(async () => {
  await xo?.close()
  await server?.stop()
  await sim?.stop()
  await remove(folder)
})

test('signs in', () => {
  assert.equal(xo.user.email, server.user)
  assert.equal(xo.user.permission, 'admin')
})

test('connects a pool and lists its objects', async () => {
  await xo.call('server.add', { host: sim.ready.url, username: 'root', password: sim.ready.password, allowUnauthorized: true })
  await until('the VMs', async () => (await objects({ type: 'VM' })).length === 3)
  const [vm] = await objects({ type: 'VM' })
  assert.equal(vm.memory.static.length, 2)
  assert.ok((await objects({ type: 'VBD' })).some(vbd => vbd.VM === vm.id && typeof vbd.position === 'string'))
})

test('is told of changes', async () => {
  const [vm] = await objects({ type: 'VM', power_state: 'Running' })
  const seen = []
  xo.on('notification', notification => seen.push(notification))
  await xo.call('vm.stop', { id: vm.id, force: true })
  await until('the notification', () => seen.some(({ method, params }) =>
    method === 'all' && params.type === 'enter' && params.items[vm.id]?.power_state === 'Halted'))
  await xo.call('vm.start', { id: vm.id })
  await assert.rejects(xo.call('vm.start', { id: vm.id }), error => error.code === 13)
})

test('runs a job and restores its point', async () => {
  const [vm] = await objects({ type: 'VM' })
  const remote = await xo.call('remote.create', { name: 'here', url: `file://${folder}/repo` })
  const jobId = await xo.call('backupNg.createJob', {
    name: 'nightly', mode: 'delta', vms: { id: vm.id }, remotes: { id: remote.id },
    schedules: { tmp: { cron: '0 0 * * *', enabled: false } }, settings: { tmp: { exportRetention: 2 } },
  })
  const schedule = (await xo.call('schedule.getAll')).find(_ => _.jobId === jobId)
  assert.equal(await xo.call('backupNg.runJob', { id: jobId, schedule: schedule.id }), true)
  const [log] = Object.values(await xo.call('backupNg.getAllLogs')).filter(_ => _.jobId === jobId)
  assert.equal(log.status, 'success', JSON.stringify(log))
  const points = (await xo.call('backupNg.listVmBackups', { remotes: [remote.id] }))[remote.id][vm.id]
  assert.equal(points.length, 1)
  const sr = (await objects({ type: 'SR' })).find(_ => _.content_type === 'user')
  const restored = await xo.call('backupNg.importVmBackup', { id: points[0].id, sr: sr.id, settings: {} })
  const [copy] = await objects({ id: restored })
  assert.ok(copy.name_label.startsWith(vm.name_label))
  assert.ok(copy.tags.includes('restored from backup'))
})

test('is refused with the codes it knows', async () => {
  await assert.rejects(xo.call('vm.start', { id: 'nothing' }), error => error.code === 1)
  await assert.rejects(xo.call('vm.start', {}), error => error.code === 10)
  await assert.rejects(xo.call('no.such'), error => error.code === -32601)
})
