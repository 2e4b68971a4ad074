// A pool in a box and a server on it, for the tests of this folder: starts the project's programs from
// the build folder in CADENZA_BUILD, ends them by pid.
import { spawn, execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { createInterface } from 'node:readline'
import { mkdtemp, rm, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import XoLib from 'xo-lib'

const BUILD = process.env.CADENZA_BUILD ?? new URL('../../build', import.meta.url).pathname
const program = name => join(BUILD, 'src/cmd', name)

// Starts a program and waits for its first line of output, a JSON object of addresses.
async function start(name, args, env = {}) {
  const child = spawn(program(name), args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } })
  const lines = createInterface({ input: child.stdout })
  const ended = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
  const ready = await Promise.race([
    new Promise(resolve => lines.once('line', resolve)),
    ended.then(({ code, signal }) => { throw new Error(`${name} ended at start: ${code ?? signal}`) }),
  ])
  return {
    child, ready: JSON.parse(ready),
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

export async function startSim(...args) {
  const sim = await start('cadenza-sim', args)
  const { control } = sim.ready
  return {
    ...sim,
    async control(path, body) {
      const answer = await fetch(control + path, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`)
      return JSON.parse(text)
    },
  }
}

export async function startServer() {
  const data = await mkdtemp(join(tmpdir(), 'cadenza-data-'))
  const server = await start('cadenzad', ['--data', data, '--insecure-http', '--listen', '127.0.0.1:0'])
  const password = (await readFile(join(data, 'initial-password'), 'utf8')).trim().split(/\s+/).pop()
  return {
    ...server, data, password, user: 'admin@admin.net',
    async stop() {
      await server.stop()
      await rm(data, { recursive: true, force: true })
    },
  }
}

// XO's own client, signed in as the administrator.
export async function signIn(server) {
  const Xo = XoLib.default ?? XoLib
  const xo = new Xo({ url: server.ready.url })
  await xo.open()
  await xo.signIn({ email: server.user, password: server.password })
  return xo
}

export async function addPool(xo, sim) {
  const id = await xo.call('server.add', { host: sim.ready.url, username: 'root', password: sim.ready.password, allowUnauthorized: true, autoConnect: false })
  await xo.call('server.enable', { id })
  return id
}

export const scratch = () => mkdtemp(join(tmpdir(), 'cadenza-test-'))
export const remove = path => rm(path, { recursive: true, force: true })
export const run = promisify(execFile)
