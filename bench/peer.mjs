// The other side of `./run bench`: one operation of Xen Orchestra's published npm libraries, with their defaults, measured
// as ours is (measure.c). Installed by tests/interop/package.json.
import { readFileSync } from 'node:fs'
import https from 'node:https'
import http from 'node:http'
import { pipeline } from 'node:stream/promises'
import { Writable } from 'node:stream'

const [operation, ...words] = process.argv.slice(2)
const options = Object.fromEntries(words.map(word => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]))
const MIB = 1 << 20, BLOCK = 2 * MIB

const { Disposable } = await import('promise-toolbox')
const { getSyncedHandler } = await import('@xen-orchestra/fs')

const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6 }
const peakKib = () => +/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]

async function measure(run) {
  const start_cpu_s = cpu(), start = process.hrtime.bigint()
  const { bytes = 0, items = 1 } = await run()
  const wall_s = Number(process.hrtime.bigint() - start) / 1e9
  console.log(JSON.stringify({ start_cpu_s, cpu_s: cpu() - start_cpu_s, wall_s, peak_kib: peakKib(), bytes, items }))
}

const withRemote = run => Disposable.use(getSyncedHandler({ url: options.remote }), run)
const adapterOf = async handler => {
  const { RemoteAdapter } = await import('@xen-orchestra/backups/RemoteAdapter.mjs')
  return new RemoteAdapter(handler, { vhdDirectoryCompression: 'brotli' }) // as XO's configuration has it
}

const get = url => new Promise((resolve, reject) =>
  (url.startsWith('https') ? https : http).get(url, { rejectUnauthorized: false }, resolve).on('error', reject))

// The blocks of an NBD export, read as XO's XapiNbdSource does.
async function nbdDisk() {
  const { default: MultiNbdClient } = await import('@vates/nbd-client/multi.mjs')
  const { RandomAccessDisk, ReadAhead } = await import('@xen-orchestra/disk-transform')
  const [address, port] = options.nbd.split(':')
  const cert = options.cert && readFileSync(options.cert, 'utf8')
  const client = new MultiNbdClient([{ address, port: +port, exportname: 'disk', cert }], { nbdConcurrency: 1 })
  await client.connect()
  const nBlocks = (+options.mib * MIB) / BLOCK
  class NbdDisk extends RandomAccessDisk {
    async init() {}
    async close() { await client.disconnect() }
    getVirtualSize() { return nBlocks * BLOCK }
    getBlockSize() { return BLOCK }
    isDifferencing() { return false }
    getBlockIndexes() { return Array.from({ length: nBlocks }, (_, index) => index) }
    hasBlock() { return true }
    async readBlock(index) { return { index, data: await client.readBlock(index, BLOCK) } }
  }
  return new ReadAhead(new NbdDisk())
}

async function vhdDisk() {
  const { XapiVhdStreamSource } = await import('@xen-orchestra/xapi/disks/XapiVhdStreamSource.mjs')
  const stream = await get(options.source)
  const disk = new XapiVhdStreamSource({ vdiRef: 'x', xapi: { VDI_exportContent: async () => stream } })
  await disk.init()
  return disk
}

const operations = {
  // remote, source (URL of a VHD stream) or nbd (host:port), mib
  backup: () => withRemote(async handler => {
    const adapter = await adapterOf(handler)
    await handler.mktree('disks')
    await measure(async () => {
      const disk = options.nbd ? await nbdDisk() : await vhdDisk()
      const bytes = disk.getBlockIndexes().length * BLOCK
      await adapter.writeVhd('disks/' + adapter.getVhdFileName('disk'), disk, { writeBlockConcurrency: 16 })
      await disk.close().catch(() => {})
      return { bytes }
    })
  }),

  // remote, parent, child (paths), mib
  merge: async () => {
    const { MergeRemoteDisk, RemoteVhdDisk } = await import('@xen-orchestra/backup-archive/disks')
    await withRemote(handler => measure(async () => {
      const [parent, child] = [options.parent, options.child].map(path => new RemoteVhdDisk({ handler, path }))
      await parent.init()
      await child.init()
      await new MergeRemoteDisk(handler, { removeUnused: true, mergeBlockConcurrency: 2 }).merge(parent, child)
      return { bytes: +options.mib * MIB }
    }))
  },

  // remote, path: the whole chain as the VHD stream that a restore sends
  read: async () => {
    const { openDiskChain } = await import('@xen-orchestra/backup-archive/disks')
    const { ReadAhead } = await import('@xen-orchestra/disk-transform')
    const { toVhdStream } = await import('vhd-lib/disk-consumer/index.mjs')
    await withRemote(handler => measure(async () => {
      const disk = new ReadAhead(await openDiskChain({ handler, path: options.path }))
      const bytes = disk.getBlockIndexes().length * BLOCK
      const sink = new Writable({ highWaterMark: 1 << 24, write(chunk, encoding, done) { done() } })
      await pipeline(await toVhdStream(disk), sink)
      await disk.close()
      return { bytes }
    }))
  },

  // remote, path, reads, mib: 4 KiB reads as a file restore does them, with its 64 blocks of cache
  random: async () => {
    const { VhdSynthetic } = await import('vhd-lib')
    await withRemote(handler => Disposable.use(VhdSynthetic.fromVhdChain(handler, options.path), async vhd => {
      await vhd.readBlockAllocationTable()
      const cache = new Map(), page = Buffer.alloc(4096), nPages = (+options.mib * MIB) / page.length
      let dice = 12345
      await measure(async () => {
        for (let i = 0; i < +options.reads; i++) {
          dice = Number((BigInt(dice) * 1103515245n + 12345n) & 0x7fffffffn)
          await vhd.readRawData((dice % nPages) * page.length, page.length, cache, page)
          if (cache.size > 64) cache.delete(cache.keys().next().value)
        }
        return { items: +options.reads }
      })
    }))
  },

  // remote: the check of every VM that ends each backup
  clean: () => withRemote(async handler => {
    const adapter = await adapterOf(handler)
    await measure(async () => {
      const vms = await adapter.listAllVms()
      let nWarnings = 0
      for (const vm of vms)
        await adapter.cleanVm('/xo-vm-backups/' + vm, { remove: true, merge: false, logInfo() {}, logWarn() { nWarnings++ } })
      if (nWarnings) throw new Error(`${nWarnings} warnings`)
      return { items: vms.length }
    })
  }),

  // remote: all points of all VMs
  list: () => withRemote(async handler => {
    const adapter = await adapterOf(handler)
    await measure(async () => {
      const points = await adapter.listAllVmBackups()
      return { items: Object.values(points).reduce((n, list) => n + list.length, 0) }
    })
    await new Promise(resolve => setTimeout(resolve, 1000)) // it writes its caches behind its answer
  }),

  // pool (URL), password: everything fetched and held, and followed
  inventory: async () => {
    const { createClient } = await import('xen-api')
    const client = createClient({ url: options.pool, allowUnauthorized: true, auth: { user: 'root', password: options.password } })
    await measure(async () => {
      await client.connect()
      await client.objectsFetched
      return { items: Object.keys(client.objects.all).length }
    })
  },
}
await operations[operation]()
process.exit(0)
