// The description of the REST API passes a public linter: Redocly's recommended rules, with nothing let through but that XO's
// own paths "users/me/…" and "users/{id}/…" could be one.
import { createConfig, lintFromString } from '@redocly/openapi-core'
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer } from './box.mjs'

const LET_THROUGH = ['no-ambiguous-paths']
const PUBLIC = /^#\/paths\/~1(ping|gui-routes|docs|docs~1swagger\.json)\//

let server
before(async () => { server = await startServer() })
after(() => server?.stop())

const lint = async source =>
  (await lintFromString({ source, absoluteRef: 'openapi.json', config: await createConfig({ extends: ['recommended'] }) }))
    .filter(problem => !LET_THROUGH.includes(problem.ruleId))
    .filter(problem => problem.ruleId !== 'operation-4xx-response' || !PUBLIC.test(problem.location[0].pointer))
    .map(problem => `${problem.severity} ${problem.ruleId} ${problem.location[0].pointer}: ${problem.message}`)

test('the OpenAPI document passes the linter', async () => {
  const answer = await fetch(`${server.ready.url}/rest/v0/docs/swagger.json`)
  assert.equal(answer.status, 200)
  const document = await answer.text()
  assert.ok(Object.keys(JSON.parse(document).paths).length > 150)
  assert.deepEqual(await lint(document), [])
})

test('the linter sees what is wrong', async () => {
  const document = await (await fetch(`${server.ready.url}/rest/v0/docs/swagger.json`)).json()
  delete document.paths['/vms/{id}'].get.parameters
  assert.match((await lint(JSON.stringify(document))).join('\n'), /path-parameters-defined/)
})
