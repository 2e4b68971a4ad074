// XO's own libraries as the other side: takes the same requests as engine.c (JSON on stdin) and does what a run of XO does,
// with XO's writer, its retention and its cleanVm. `dieAt` ends the process, as kill -9 would, at the nth change of a file;
// with `torn` only half of what that change writes gets there.
import { randomUUID } from 'node:crypto'
import { open } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { RandomAccessDisk } from '@xen-orchestra/disk-transform'
import { getSyncedHandler } from '@xen-orchestra/fs'
import logging from '@xen-orchestra/log/configure'
import { RemoteAdapter } from '@xen-orchestra/backups/RemoteAdapter.mjs'
import { openVhd } from 'vhd-lib'

logging.configure([]) // it would print each warning of a test that is all about them
const BLOCK_BYTES = 2 << 20
const bytesOf = uuid => Buffer.from(uuid.replaceAll('-', ''), 'hex')

// The methods of XO's handler that change something, and where what they write is among the arguments.
const CHANGES = { _writeFile: 1, _writeFd: 1, _rename: null, _unlink: null, _mkdir: null, _rmdir: null, _truncate: null }

// Counts the changes that a handler makes. At the nth one `die` is called, with a function that makes half of it.
export function watchChanges(handler, nth, die) {
  const count = { n: 0 }
  for (const [name, written] of Object.entries(CHANGES)) {
    const real = handler[name].bind(handler)
    handler[name] = async (...args) => {
      if (++count.n < nth) return real(...args)
      const half = async () => {
        if (written === null || count.n !== nth) return
        args[written] = Buffer.from(args[written]).subarray(0, args[written].length >> 1)
        await real(...args)
      }
      await die(half)
    }
  }
  const stream = handler._createWriteStream.bind(handler)
  handler._createWriteStream = async (...args) => (++count.n < nth ? stream(...args) : die(async () => {}))
  return count
}

// vhd-lib as published writes no ids and no parent: they are put in before XO looks at the disk and names it.
async function putIds(handler, path, { uuid, parentUuid, parentPath }) {
  const { value: vhd, dispose } = await openVhd(handler, path, { flags: 'r+' })
  try {
    if (vhd.footer.uuid.equals(uuid)) return
    await vhd.readBlockAllocationTable()
    vhd.footer.uuid = uuid
    if (parentUuid !== undefined) {
      vhd.header.parentUuid = parentUuid
      vhd.header.parentUnicodeName = parentPath
    }
    await vhd.writeFooter()
    await vhd.writeHeader()
  } finally {
    await dispose()
  }
}

class Adapter extends RemoteAdapter {
  async writeVhd(path, disk, options) {
    const validator = async tmp => {
      await putIds(this.handler, tmp, options)
      await options.validator(tmp)
    }
    const size = await super.writeVhd(path, disk, { ...options, validator })
    if (size !== undefined) return size
    const { value: vhd, dispose } = await openVhd(this.handler, path)
    await vhd.readBlockAllocationTable()
    await dispose()
    return vhd.streamSize()
  }
}

class RawBlocks extends RandomAccessDisk {
  constructor(disk, isDelta) {
    super()
    Object.assign(this, { disk, isDelta, indexes: (isDelta ? disk.changed : disk.allocated).toSorted((a, b) => a - b) })
  }
  async init() { this.file = await open(this.disk.raw) }
  async close() { await this.file?.close(); this.file = undefined }
  getVirtualSize() { return this.disk.size }
  getBlockSize() { return BLOCK_BYTES }
  isDifferencing() { return this.isDelta }
  getBlockIndexes() { return this.indexes }
  hasBlock(index) { return this.indexes.includes(index) }
  async readBlock(index) {
    const data = Buffer.alloc(BLOCK_BYTES)
    await this.file.read(data, 0, BLOCK_BYTES, index * BLOCK_BYTES)
    return { index, data }
  }
}

export async function openAdapter(url) {
  const { value: handler } = await getSyncedHandler({ url })
  const [, codec = 'brotli'] = /vhdDirectoryCompression=%22(\w+)%22/.exec(url) ?? []
  return new Adapter(handler, { vhdDirectoryCompression: codec })
}

export const quiet = { logInfo() {}, logWarn() {} }

// What XO's runner does with its writer: base, transfer, retention, clean-up, in this order and under the lock.
async function runBackup(adapter, request) {
  const { IncrementalRemoteWriter } = await import('@xen-orchestra/backups/_runners/_writers/IncrementalRemoteWriter.mjs')
  const { metadata, disks, vm, timeMs, keep } = request
  const writer = new IncrementalRemoteWriter({
    adapter, remoteId: randomUUID(), vmUuid: vm, healthCheckSr: undefined,
    config: { writeBlockConcurrency: 16, mergeBlockConcurrency: 2, disableMergeWorker: true },
    job: { id: metadata.jobId, mode: 'delta' }, schedule: { id: metadata.scheduleId },
    settings: { exportRetention: keep, mergeBackupsSynchronously: true, diskPerVmConcurrency: 0, maxMergedDeltasPerRun: Infinity },
  })
  await writer.beforeBackup()
  const bases = new Map(disks.filter(_ => _.base !== null).map(_ => [_.base, _.vdi]))
  if (bases.size) await writer.checkBaseVdis(bases)
  const isDelta = disk => bases.has(disk.base)
  const exported = { ...metadata, vtpms: [], disks: {} }
  for (const disk of disks) {
    exported.disks[disk.ref] = new RawBlocks(disk, isDelta(disk))
    await exported.disks[disk.ref].init()
  }
  await writer.prepare({ isFull: !disks.some(isDelta) })
  await writer.transfer({
    includeNonNbdQcow2Fix: true, timestamp: timeMs, deltaExport: exported, vm: metadata.vm, vmSnapshot: metadata.vmSnapshot,
    isVhdDifferencing: Object.fromEntries(disks.map(_ => [_.ref, isDelta(_)])),
  })
  await writer.cleanup()
  await writer.afterBackup()
  return { path: writer._metadataFileName, full: !disks.some(isDelta) }
}

async function main() {
  const request = JSON.parse(await text(process.stdin))
  const adapter = await openAdapter(request.url)
  const count = watchChanges(adapter.handler, request.dieAt ?? Infinity, async half => {
    if (request.torn) await half()
    process.kill(process.pid, 'SIGKILL')
    await new Promise(() => {})
  })
  const result = request.command === 'run' ? await runBackup(adapter, request)
    : await adapter.cleanVm(`/xo-vm-backups/${request.vm}`, { remove: true, merge: true, ...quiet })
  console.log(JSON.stringify({ ...result, changes: count.n }))
  process.exit(0)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
