// What "tested against Xen Orchestra" rests on: the versions of all its libraries that these tests run, and every file that a real
// XO wrote, each with the tests that hold us to it, or with the reason why nothing does. A new fixture that nobody names fails.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'

const ROOT = new URL('../../', import.meta.url)
const FIXTURES = process.env.CADENZA_FIXTURES ?? new URL('../shared/fixtures/xo', ROOT).pathname
const SEALED = 'sealed: repositories with an encryption key are not read; test_fixtures holds us to saying so'

// `by`: a test, and words in it without which it does not read the fixture any more. NAME stands for the fixture's name.
const TABLE = [
  { files: /^repos\/(flat|flat-unmerged|directory|interrupted)\.tar\.gz$/, how: 'lists, verifies, restores to the byte, whatever the cache; damaged at random',
    by: { 'tests/system/test_fixtures.py': '"NAME": DISKS', 'tests/system/test_hostile.py': 'self.fixture("NAME")' } },
  { files: /^repos\/full\.tar\.gz$/, how: 'lists, restores through the import; damaged at random',
    by: { 'tests/system/test_fixtures.py': '"NAME": ARCHIVES', 'tests/system/test_full.py': 'repos/full.tar.gz', 'tests/system/test_hostile.py': 'self.fixture("NAME"' } },
  { files: /^repos\/metadata\.tar\.gz$/, how: 'its configuration is imported, its backups are listed, also damaged',
    by: { 'tests/system/test_configuration.py': 'repos/metadata.tar.gz', 'tests/system/test_answers.py': 'repos/metadata.tar.gz',
          'tests/system/test_hostile.py': 'metadata.tar.gz' } },
  { files: /^repos\/.*encrypted.*\.tar\.gz$/, open: SEALED, by: { 'tests/system/test_fixtures.py': '"NAME": SEALED' } },
  { files: /^repos\/expected\.json$/, how: 'the truth of all of them', by: { 'tests/system/test_fixtures.py': 'expected.json' } },
  { files: /^objects\/(xapi-records|xo-all-objects)\.json$/, how: 'every field of every object', by: { 'tests/unit/pool/test_views.c': 'NAME.json' } },
  { files: /^objects\/counts\.json$/, how: 'agrees with the two files that it counts', by: { 'tests/interop/accounted.test.mjs': 'objects/counts.json' } },
  { files: /^objects\/rest\/.*\.json$/, how: 'those of collections that are here: the same fields and links', by: { 'tests/system/test_rest.py': 'recorded(' } },
  { files: /^rpc\/.*\.json$/, how: 'asked again: the same answer, or a difference with its reason', by: { 'tests/system/test_answers.py': '(FIXTURES / "rpc").glob("*.json")' } },
  { files: /^logs\/[a-z].*\.json$/, how: 'the same tree, order and statuses', by: { 'tests/unit/base/test_tasklog.c': 'g_build_filename(root, "logs", NULL)' } },
  { files: /^logs\/_all-logs\.json$/, how: 'kept and given back as they are', by: { 'tests/unit/run/test_xo_logs.c': 'NAME.json' } },
  { files: /^logs\/_log\.get-jobs\.json$/, how: 'the same shape', by: { 'tests/system/test_logs.py': 'NAME.json' } },
  { files: /^logs\/_runs-answers\.json$/, how: 'the same codes, asked for there', by: { 'tests/system/test_logs.py': 'code=-32000' } },
  { files: /^jobs\/[a-z].*\.json$/, how: 'backup jobs become the same record with the same schedules; the others are those of _all.json',
    by: { 'tests/system/test_jobs.py': 'JOBS.glob("[a-z]*.json")', 'tests/unit/job/test_job.c': 'backupNg.createJob' } },
  { files: /^jobs\/_all\.json$/, how: 'imported, and listed again', by: { 'tests/system/test_answers.py': 'jobs/_all.json' } },
]

const json = async path => JSON.parse(await readFile(path, 'utf8'))
const fixture = name => json(`${FIXTURES}/${name}`)

async function everyFixture() {
  const found = await readdir(FIXTURES, { recursive: true, withFileTypes: true })
  return found.filter(_ => _.isFile() && _.name !== 'README.md').map(_ => `${_.parentPath}/${_.name}`.slice(FIXTURES.length + 1)).sort()
}

// The packages that the files here import, and those that are installed for them.
async function libraries() {
  const names = new Set(Object.keys((await json(new URL('package.json', import.meta.url))).dependencies))
  for (const file of (await readdir(new URL('.', import.meta.url))).filter(_ => _.endsWith('.mjs')))
    for (const [, from] of (await readFile(new URL(file, import.meta.url), 'utf8')).matchAll(/(?:from|import\() ?'([^'.][^']*)'/g))
      if (!from.startsWith('node:')) names.add(from.split('/').slice(0, from.startsWith('@') ? 2 : 1).join('/'))
  return [...names].sort()
}

test('the libraries that these tests run', async t => {
  const seen = []
  for (const name of await libraries()) {
    const { version } = await json(new URL(`node_modules/${name}/package.json`, import.meta.url))
    assert.match(version, /^v?\d+\.\d+\.\d+/, name)
    seen.push(`${name} ${version}`)
  }
  assert.ok(seen.some(_ => _.startsWith('@xen-orchestra/backups ')))
  t.diagnostic(`node ${process.version}; ${seen.join(', ')}`)
})

test('every fixture is accounted for', async t => {
  if (!existsSync(FIXTURES)) return t.skip(`no fixtures in ${FIXTURES} (CADENZA_FIXTURES)`)
  const texts = new Map(), rows = new Map(TABLE.map(row => [row, []]))
  const text = async path => texts.get(path) ?? texts.set(path, await readFile(new URL(path, ROOT), 'utf8')).get(path)
  for (const path of await everyFixture()) {
    const found = TABLE.filter(_ => _.files.test(path)), name = path.split('/').pop().replace(/\.(tar\.gz|json)$/, '')
    assert.equal(found.length, 1, `${path} is named by ${found.length} rows`)
    rows.get(found[0]).push(name)
    for (const [by, words] of Object.entries(found[0].by ?? {}))
      assert.ok((await text(by)).includes(words.replace('NAME', name)), `${by} does not read ${path}: it has no ${words}`)
  }
  for (const [{ files, how, open, by }, names] of rows) {
    assert.ok(names.length, `there is no ${files}`)
    t.diagnostic(`${files.source.slice(1).split('\\/')[0]}: ${names.join(' ')}: ${open ? `NOT: ${open}` : `${how} (${Object.keys(by).join(', ')})`}`)
  }
})

test("XO's counts are those of its records and objects", async t => {
  if (!existsSync(FIXTURES)) return t.skip(`no fixtures in ${FIXTURES} (CADENZA_FIXTURES)`)
  const counts = await fixture('objects/counts.json'), records = await fixture('objects/xapi-records.json'), n = {}
  for (const { type } of Object.values(await fixture('objects/xo-all-objects.json'))) n[type] = (n[type] ?? 0) + 1
  assert.deepEqual(n, counts.xo)
  for (const [name, of] of Object.entries(counts.xapi)) assert.equal(Object.keys(records[name] ?? {}).length, of, name)
})
