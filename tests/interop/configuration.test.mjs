// A configuration as XO reads and writes it: sealed by openpgp.js, the library that XO seals and opens with, the way XO calls it.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { after, before, test } from 'node:test'
import * as openpgp from 'openpgp'
import { signIn, startServer } from './box.mjs'

const passphrase = 'correct horse battery staple'
let server, xo

before(async () => {
  server = await startServer()
  xo = await signIn(server)
})
after(async () => {
  await xo?.close()
  await server?.stop()
})

const library = async () => {
  const { version } = JSON.parse(await readFile(new URL('node_modules/openpgp/package.json', import.meta.url), 'utf8'))
  return `openpgp.js ${version}`
}

async function exported(params) {
  const { $getFrom } = await xo.call('xo.exportConfig', params)
  const answer = await fetch(server.ready.url + $getFrom)
  assert.equal(answer.status, 200)
  assert.match($getFrom, /\/XO-config_\d{8}T\d{6}Z\.json(\.gz)?(\.enc)?$/)
  assert.match(answer.headers.get('content-disposition'), /attachment/)
  return Buffer.from(await answer.arrayBuffer())
}

async function imported(body, params = {}) {
  const { $sendTo } = await xo.call('xo.importConfig', params)
  const answer = await fetch(server.ready.url + $sendTo, { method: 'POST', body })
  return { status: answer.status, report: await answer.json() }
}

test('ours is opened as XO opens it', async t => {
  t.diagnostic(await library())
  await xo.call('tag.set', { id: 'prod', color: '#00ff80' })
  const sealed = await exported({ compress: false, passphrase })
  const { data } = await openpgp.decrypt({
    message: await openpgp.readMessage({ binaryMessage: sealed }),
    passwords: passphrase,
  })
  assert.deepEqual(JSON.parse(data).tags, [{ id: 'prod', color: '#00ff80' }])
  const packed = await openpgp.decrypt({
    format: 'binary',
    message: await openpgp.readMessage({ binaryMessage: await exported({ passphrase }) }),
    passwords: passphrase,
  })
  assert.equal(JSON.parse(gunzipSync(packed.data)).users[0].email, server.user)
  await assert.rejects(openpgp.decrypt({
    message: await openpgp.readMessage({ binaryMessage: sealed }), passwords: 'another',
  }))
})

test('what XO seals is taken in', async () => {
  const document = { tags: [{ id: 'sealed', color: '#123456' }], cloudConfigs: [{ id: 'c', name: 'é', template: 'a\nb\r\nc' }] }
  const sealed = await openpgp.encrypt({
    format: 'binary',
    message: await openpgp.createMessage({ text: JSON.stringify(document) }),
    passwords: passphrase,
  })
  assert.equal((await imported(sealed, { passphrase: 'another' })).status, 400)
  const { status, report } = await imported(sealed, { passphrase })
  assert.equal(status, 200, JSON.stringify(report))
  assert.equal(report.entries.tags.added, 1)
  assert.deepEqual(await xo.call('cloudConfig.getAll'), document.cloudConfigs)
  const packed = await openpgp.encrypt({
    format: 'binary',
    message: await openpgp.createMessage({ binary: gzipSync(JSON.stringify(document)) }),
    passwords: passphrase,
  })
  assert.equal((await imported(packed, { passphrase })).report.entries.cloudConfigs.same, 1)
})
