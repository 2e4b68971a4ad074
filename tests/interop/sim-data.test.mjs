// The simulator's disks as XO's own libraries see them: xen-api moves them, vhd-lib reads the exports, nbd-client
// reads over NBD; compared with the simulator's digest.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import { after, before, test } from 'node:test'
import { createClient } from 'xen-api'
import { remove, scratch, startSim } from './box.mjs'

const require = createRequire(import.meta.url)
const { VhdFile } = require('vhd-lib')
const { getSyncedHandler } = require('@xen-orchestra/fs')
const { NbdTcpClient } = require('@vates/nbd-client')

const BLOCK = 2 << 20
let sim, xapi, folder, disk, first, second

const digest = async ref => (await sim.control(`/sim/digest?vdi=${ref}`)).sha256
const path = name => join(folder, name)

async function exportTo(name, query) {
  const response = await xapi.getResource('/export_raw_vdi/', { query: { format: 'vhd', ...query }, task: xapi.createTask(name) })
  // Flowing, into memory: the client's HTTP library loses the end of a body that the connection ends while it is paused.
  const chunks = []
  response.body.on('data', chunk => chunks.push(chunk))
  await finished(response.body)
  await writeFile(path(name), Buffer.concat(chunks))
  await response.task
}

async function createDisk(size) {
  const { SR } = await xapi.getRecord('VDI', disk)
  return xapi.call('VDI.create', {
    SR, virtual_size: size, name_label: 'restored', name_description: '', type: 'user', sharable: false, read_only: false,
    other_config: {}, sm_config: {}, tags: [], xenstore_data: {},
  })
}

before(async () => {
  folder = await scratch()
  sim = await startSim('--vms', '1', '--disk-size', '51MiB', '--nbd', 'secure')
  xapi = createClient({ url: sim.ready.url, allowUnauthorized: true, auth: { user: 'root', password: sim.ready.password } })
  await xapi.connect()
  await xapi.objectsFetched
  disk = Object.values(xapi.objects.all).find(object => object.$type === 'VDI' && object.VBDs.length > 0).$ref
  first = await xapi.callAsync('VDI.snapshot', disk)
  await sim.control('/sim/write', { vdi: disk, blocks: [1, 3, 25] })
  second = await xapi.callAsync('VDI.snapshot', disk)
  await exportTo('full.vhd', { vdi: first })
  await exportTo('delta.vhd', { vdi: second, base: first })
})
after(async () => {
  await xapi?.disconnect()
  await sim?.stop()
  await remove(folder)
})

test('vhd-lib reads a full export and a delta', async () => {
  const { value: handler, dispose } = await getSyncedHandler({ url: 'file://' + folder })
  const members = []
  for (const name of ['delta.vhd', 'full.vhd']) {
    const { value } = await VhdFile.open(handler, name, { checkSecondFooter: true })
    await value.readBlockAllocationTable()
    members.push(value)
  }
  const [delta, full] = members
  assert.deepEqual([full.footer.diskType, delta.footer.diskType], [3, 4])
  assert.ok(delta.header.parentUuid.equals(full.footer.uuid))
  const sha = createHash('sha256'), size = Number(full.footer.currentSize)
  for (let i = 0; i * BLOCK < size; i++) {
    const vhd = members.find(member => member.containsBlock(i))
    const data = vhd === undefined ? Buffer.alloc(BLOCK) : (await vhd.readBlock(i)).data
    sha.update(data.subarray(0, Math.min(BLOCK, size - i * BLOCK)))
  }
  assert.equal(sha.digest('hex'), await digest(second))
  await dispose()
})

test('putResource restores a full and a delta, the length known and not', async () => {
  const { virtual_size: size } = await xapi.getRecord('VDI', first)
  const target = await createDisk(size)
  const full = createReadStream(path('full.vhd'))
  full.length = (await stat(path('full.vhd'))).size
  const query = { vdi: target, format: 'vhd' }
  assert.equal(await xapi.putResource(full, '/import_raw_vdi/', { query, task: xapi.createTask('full') }), target)
  assert.equal(await digest(target), await digest(first))
  const delta = createReadStream(path('delta.vhd')).pipe(new PassThrough())
  await xapi.putResource(delta, '/import_raw_vdi/', { query, task: xapi.createTask('delta') })
  assert.equal(await digest(target), await digest(second))
})

test('nbd-client reads a snapshot with TLS', async () => {
  const [info] = await xapi.call('VDI.get_nbd_info', second)
  const client = new NbdTcpClient(info, {})
  await client.connect()
  const sha = createHash('sha256'), size = Number(client.exportSize)
  for (let i = 0; i * BLOCK < size; i++) sha.update(await client.readBlock(i, BLOCK))
  await client.disconnect()
  assert.equal(sha.digest('hex'), await digest(second))
})
