// A VM whose disks are known to the byte, backed up by turns by our catalog (engine.c) and by XO's libraries (xo-peer.mjs),
// into one repository. What the repository must hold is known at every moment.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, open, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDiskChain } from '@xen-orchestra/backup-archive/disks'
import { openAdapter, quiet } from './xo-peer.mjs'

export const ENGINE = new URL('../../build-asan/tests/interop/engine', import.meta.url).pathname
const PEER = new URL('./xo-peer.mjs', import.meta.url).pathname
export const BLOCK_BYTES = 2 << 20
export const FIRST_MS = Date.UTC(2026, 10, 16, 2, 0, 0)
export const HOUR_MS = 3600e3
export const FULL = process.env.CADENZA_FULL === '1'
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir() // thousands of fsyncs test nothing there
export const scratch = () => mkdtemp(join(place, 'cadenza-both-'))

// Small, seeded, good enough.
export function randomFrom(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, below: n => Math.floor(next() * n), chance: p => next() < p, pick: list => list[Math.floor(next() * list.length)] }
}

export const seedOf = t => {
  const seed = Number(process.env.CADENZA_SEED ?? (FULL ? Date.now() % 1e6 : 1))
  t.diagnostic(`seed ${seed} (CADENZA_SEED)`)
  return seed
}

export const dateOf = ms => new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '')

async function feed(command, args, input, env = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const chunks = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', part => { chunks[name] += part })
  child.stdin.on('error', () => {}).end(JSON.stringify(input))
  const [code, signal] = await new Promise(resolve => child.once('close', (...ended) => resolve(ended)))
  return { code, signal, ...chunks }
}

const CRASHED = 99

// Runs one side. {died} or {lines}; anything else is a failure of the test.
// `visits` names a file that gets the name of every crash point that is passed.
export async function engine(request, crash, visits) {
  const env = { ...(crash ? { CADENZA_CRASH: crash } : {}), ...(visits ? { CADENZA_CRASH_VISITS: visits } : {}) }
  const { code, signal, stdout, stderr } = await feed(ENGINE, [], request, { ...env, ASAN_OPTIONS: 'detect_leaks=0', G_DEBUG: 'fatal-criticals' })
  const lines = stdout.trim().split('\n').filter(Boolean).map(_ => JSON.parse(_))
  assert.ok(code === 0 || (crash && code === CRASHED), `our engine, ${request.command}, ${crash ?? 'no crash'}: ${signal ?? code}\n${stderr}`)
  return { died: code !== 0, lines, ...Object.assign({}, ...lines) }
}

export async function xo(request) {
  const { code, signal, stdout, stderr } = await feed(process.execPath, [PEER], request, { NODE_NO_WARNINGS: '1' })
  assert.ok(code === 0 || (request.dieAt && signal === 'SIGKILL'), `XO, ${request.command}, dies at ${request.dieAt}: ${signal ?? code}\n${stderr}`)
  return { died: code !== 0, ...(code === 0 ? JSON.parse(stdout) : {}) }
}

// A virtual disk of blocks; what is in them depends on the block and on when it was written.
class ModelDisk {
  constructor(folder, n, nBlocks) {
    Object.assign(this, { raw: join(folder, `disk${n}.raw`), vdi: randomUUID(), ref: `OpaqueRef:${n}`, nBlocks, n })
    this.allocated = new Set()
    this.changed = new Set()
    this.base = null
  }
  get size() { return this.nBlocks * BLOCK_BYTES - BLOCK_BYTES / 2 } // the last block is half
  async write(block, generation) {
    const piece = Buffer.alloc(4096)
    piece.write(`disk ${this.n} block ${block} generation ${generation} ${'x'.repeat(generation % 7)}`)
    const data = Buffer.alloc(BLOCK_BYTES, piece)
    data.writeUInt32BE(generation, 4096 * (generation % 500))
    const last = block === this.nBlocks - 1
    const file = await open(this.raw, existsSync(this.raw) ? 'r+' : 'w+')
    await file.write(data, 0, last ? BLOCK_BYTES / 2 : BLOCK_BYTES, block * BLOCK_BYTES)
    await file.close()
    await truncate(this.raw, this.size)
    this.allocated.add(block)
    this.changed.add(block)
  }
  // What was half is whole from now on.
  grow(nBlocks) {
    this.changed.add(this.nBlocks - 1)
    this.allocated.add(this.nBlocks - 1)
    this.nBlocks = nBlocks
    return truncate(this.raw, this.size)
  }
  request() {
    const { ref, vdi, uid, base, size, raw } = this
    return { ref, vdi, uid, base, size, raw, changed: [...this.changed], allocated: [...this.allocated] }
  }
  async digest() { return createHash('sha256').update(await readFile(this.raw)).digest('hex') }
}

// The VM, its pool (which snapshot is the base), and what every backup of it held.
export class World {
  static async create({ folder, options, sizes }) {
    const world = new World()
    Object.assign(world, {
      folder, options, repo: join(folder, 'repo'), url: `file://${join(folder, 'repo')}${options}`,
      vm: randomUUID(), job: randomUUID(), schedule: randomUUID(), n: 0, generation: 0,
      truth: new Map(), // date → Map of VDI → SHA-256
    })
    world.disks = sizes.map((nBlocks, n) => new ModelDisk(folder, n, nBlocks))
    return world
  }

  async write(disk, blocks) {
    this.generation++
    for (const block of blocks) await disk.write(block, this.generation)
  }

  // A snapshot, and what a run needs to back it up.
  async nextRun(keep) {
    const timeMs = FIRST_MS + this.n++ * HOUR_MS
    const sums = new Map()
    for (const disk of this.disks) {
      disk.uid = randomUUID()
      sums.set(disk.vdi, await disk.digest())
    }
    this.truth.set(dateOf(timeMs), sums)
    return { command: 'run', url: this.url, vm: this.vm, timeMs, keep, metadata: this.#metadata(timeMs), disks: this.disks.map(_ => _.request()) }
  }

  #metadata(timestamp) {
    const records = Object.fromEntries(this.disks.map(_ => [_.ref, {
      uuid: _.uid, name_label: `disk ${_.n}`, virtual_size: _.size, type: 'user', $snapshot_of$uuid: _.vdi, $SR$uuid: randomUUID(), other_config: {},
    }]))
    return {
      jobId: this.job, scheduleId: this.schedule, timestamp, mode: 'delta', version: '2.0.0', includeNonNbdQcow2Fix: true, vdis: records,
      vbds: Object.fromEntries(this.disks.map(_ => [`${_.ref}b`, { VDI: _.ref, userdevice: `${_.n}`, type: 'Disk' }])), vifs: {}, vtpms: [], tags: [],
      vm: { uuid: this.vm, name_label: 'vm', name_description: '', is_a_template: false, tags: [] },
      vmSnapshot: { uuid: randomUUID(), suspend_VDI: 'OpaqueRef:NULL', is_a_template: false },
    }
  }

  // The snapshot is the next base: it was marked as exported.
  exported() {
    for (const disk of this.disks) {
      disk.base = disk.uid
      disk.changed.clear()
    }
    this.continued = false
  }

  async points(repo = this.repo) {
    const names = await readdir(join(repo, 'xo-vm-backups', this.vm)).catch(() => [])
    return names.filter(_ => _.endsWith('.json') && _[0] !== '.').map(_ => _.slice(0, 16)).sort()
  }

  // Ten seconds have gone by since whoever held a lock died.
  async age() {
    const long = new Date(Date.now() - 60e3)
    for (const name of await readdir(join(this.repo, 'xo-vm-backups')).catch(() => []))
      if (name.endsWith('.lock')) await utimes(join(this.repo, 'xo-vm-backups', name), long, long)
  }

  async copy() {
    const repo = join(this.folder, 'copy')
    await rm(repo, { recursive: true, force: true })
    await cp(this.repo, repo, { recursive: true, preserveTimestamps: true })
    return { repo, url: `file://${repo}${this.options}` }
  }

  // Our reader: every point that is there, whole, and nothing else said. Where a file is cut in the middle it may say so, and
  // must not give wrong bytes.
  async readByUs(what, { url, repo } = this, cut = false) {
    const { points, problems } = await engine({ command: 'read', url })
    const seen = points.filter(_ => _.vm === this.vm), damaged = cut ? problems.length : 0
    assert.equal(problems.length, damaged, `${what}: ${problems}`)
    if (!damaged) assert.deepEqual(seen.map(_ => _.path.slice(-21, -5)).sort(), await this.points(repo), `${what}: our listing`)
    for (const { path, disks } of seen) {
      assert.equal(disks.length, this.disks.length)
      for (const disk of disks)
        if (!(cut && disk.error))
          assert.equal(disk.error ?? disk.sha256, this.truth.get(path.slice(-21, -5)).get(disk.vdi), `${what}: we read ${disk.path}`)
    }
    return seen
  }

  // XO's reader, by XO's own listing.
  async readByXo(what, { url, repo } = this) {
    const adapter = await openAdapter(url)
    const points = await adapter.listVmBackups(this.vm)
    assert.deepEqual(points.map(_ => dateOf(_.timestamp)).sort(), await this.points(repo), `${what}: XO's listing`)
    for (const { timestamp, vhds, vdis } of points)
      for (const [ref, path] of Object.entries(vhds))
        assert.equal(await digestByXo(adapter.handler, `/xo-vm-backups/${this.vm}/${path}`),
          this.truth.get(dateOf(timestamp)).get(vdis[ref].$snapshot_of$uuid), `${what}: XO reads ${path}`)
    await adapter.handler.forget()
  }

  async cleanByXo({ url } = this) {
    const adapter = await openAdapter(url)
    const result = await adapter.cleanVm(`/xo-vm-backups/${this.vm}`, { remove: true, merge: true, lock: false, ...quiet })
    await adapter.handler.forget()
    return result
  }

  cleanByUs({ url } = this) { return engine({ command: 'clean', url, vm: this.vm }) }

  // Everything that is in the folders of the disks.
  async listing(repo = this.repo) {
    const names = await readdir(join(repo, 'xo-vm-backups', this.vm, 'vdis', this.job), { recursive: true })
    return names.filter(_ => !/\/data\/[^/]+\//.test(_)).sort()
  }
}

export async function digestByXo(handler, path) {
  const disk = await openDiskChain({ handler, path })
  try {
    const hash = createHash('sha256'), size = disk.getVirtualSize(), has = new Set(disk.getBlockIndexes()), zeros = Buffer.alloc(BLOCK_BYTES)
    for (let i = 0; i * BLOCK_BYTES < size; i++) {
      const data = has.has(i) ? (await disk.readBlock(i)).data : zeros
      hash.update(data.subarray(0, Math.min(BLOCK_BYTES, size - i * BLOCK_BYTES)))
    }
    return hash.digest('hex')
  } finally {
    await disk.close()
  }
}

export async function versions(...names) {
  const found = []
  for (const name of names) found.push(`${name} ${JSON.parse(await readFile(new URL(`node_modules/${name}/package.json`, import.meta.url))).version}`)
  return found.join(', ')
}
export { rm, writeFile }
