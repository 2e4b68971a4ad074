// A VNC client from npm draws a machine's screen through the server: the client speaks TCP, so a few lines carry its bytes to the
// console's WebSocket and back, as a browser's client does for itself.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import VncClient from 'vnc-rfb-client'
import { addPool, signIn, startServer, startSim } from './box.mjs'

let sim, server, xo, token
const opened = []

before(async () => {
  sim = await startSim('--hosts', '2', '--vms', '2', '--disk-size', '16MiB', '--running', '1', '--seed', '5')
  server = await startServer()
  xo = await signIn(server)
  await addPool(xo, sim)
  token = await xo.call('token.create')
})
after(async () => {
  for (const bridge of opened) bridge.close()
  await xo?.close()
  await server?.stop()
  await sim?.stop()
})

// A TCP port behind which the console is.
async function bridge(vm) {
  const bridge = createServer(tcp => {
    const console_ = new WebSocket(`${server.ready.url.replace('http', 'ws')}/api/consoles/${vm}`,
      { protocols: ['binary'], headers: { cookie: `token=${token}` } })
    const waiting = []
    console_.binaryType = 'arraybuffer'
    console_.onopen = () => waiting.splice(0).forEach(data => console_.send(data))
    console_.onmessage = ({ data }) => tcp.write(Buffer.from(data))
    console_.onclose = () => tcp.destroy()
    console_.onerror = () => tcp.destroy()
    tcp.on('data', data => console_.readyState === WebSocket.OPEN ? console_.send(data) : waiting.push(data))
    tcp.on('close', () => console_.close())
    tcp.on('error', () => {})
  })
  opened.push(bridge)
  await new Promise(resolve => bridge.listen(0, '127.0.0.1', resolve))
  return bridge.address().port
}

// The client once it has drawn the first picture.
async function draw(vm) {
  const client = new VncClient({ encodings: [VncClient.consts.encodings.raw], fps: 5 })
  const drawn = new Promise((resolve, reject) => {
    client.once('firstFrameUpdate', () => resolve())
    for (const event of ['connectError', 'authError', 'closed', 'connectTimeout']) client.once(event, () => reject(new Error(event)))
  })
  client.connect({ host: '127.0.0.1', port: await bridge(vm) })
  await drawn
  return client
}

const pixel = (client, x, y) => [...client.getFb().subarray((y * client.clientWidth + x) * 4, (y * client.clientWidth + x) * 4 + 3)]

async function until(what, condition) {
  for (let i = 0; i < 600; i++) {
    if (condition()) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  assert.fail(`never saw: ${what}`)
}

test('draws the picture of the machine', async () => {
  const [vm] = Object.values(await xo.call('xo.getAllObjects', { filter: { type: 'VM', power_state: 'Running' } }))
  const own = [...Buffer.from(vm.id.slice(0, 6), 'hex')]
  const client = await draw(vm.id)
  assert.deepEqual([client.clientWidth, client.clientHeight], [320, 200])
  assert.equal(client.clientName, vm.name_label)
  const bars = Array.from({ length: 8 }, (_, bar) => pixel(client, bar * 40 + 20, 150))
  assert.deepEqual(bars.map(bar => bar.sort()), Array.from({ length: 8 }, (_, bar) =>
    [bar & 4 ? 255 : 0, bar & 2 ? 255 : 0, bar & 1 ? 255 : 0].sort()))
  assert.deepEqual(pixel(client, 5, 5).sort(), [...own].sort()) // the client's order of colours is its own
  client.sendKeyEvent(0x61, true)
  client.sendKeyEvent(0x61, false)
  const turned = own.map(value => 255 - value).sort()
  await until('the square in its other colour', () => `${[...pixel(client, 5, 5)].sort()}` === `${turned}`)
  client.disconnect()
})

test('ends with the machine', async () => {
  const [vm] = Object.values(await xo.call('xo.getAllObjects', { filter: { type: 'VM', power_state: 'Running' } }))
  const client = await draw(vm.id)
  const ended = new Promise(resolve => client.once('closed', resolve))
  await xo.call('vm.stop', { id: vm.id, force: true })
  await ended
})
