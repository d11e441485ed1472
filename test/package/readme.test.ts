import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, it } from "vitest"
import { demoData } from "../../src/dev/DemoData.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { examplesOf, pathWithThisNode, root, runToEnd } from "./consumer.ts"

const db = databaseForFile((database) => database.query(demoData))
const readme = readFileSync(path.join(root, "README.md"), "utf8")
let service: TestService

beforeAll(async () => {
  service = await startService({ database: db() })
})
afterAll(() => service.dispose())

const here = (text: string): string => text.replaceAll("localhost:3000", service.url.slice("http://".length))

it("the walk with curl gives what the README shows", async () => {
  const walk = Array.from(readme.matchAll(/^```sh walk\n(.*?)^```$/gms), ([, code]) => code ?? "").join("\n")
  assert.match(walk, /curl/)
  const { code, output } = await runToEnd("bash", ["-euo", "pipefail", "-c", here(walk)], {
    cwd: root,
    env: { DATABASE_URL: db().url }
  })
  assert.strictEqual(code, 0, output)
  for (const shown of [
    /^HTTP\/1.1 200 OK\r?$/m,
    /^electric-offset: 0_0\r?$/m,
    /^electric-schema: {"id":{"type":"int4","pk_index":0,"not_null":true},"name":{"type":"text","not_null":true}}\r?$/m,
    /"value":{"id":"1","name":"Website"},"headers":{"operation":"insert",/,
    /{"headers":{"control":"up-to-date"/,
    /UPDATE 1$/m,
    /{"id":"1","name":"Web site"},"headers":{.*"operation":"update"/,
    /"title":"[^"]*mail queue/,
    /data: {/
  ])
    assert.match(output, shown)
})

it("the client snippet follows the table", async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "baton-snippet-"))
  symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"))
  const snippet = examplesOf("README.md").find(({ file }) => file === "client.js")
  assert.isDefined(snippet)
  const file = path.join(directory, "client.mjs")
  writeFileSync(file, here(snippet?.code ?? ""))
  const client = spawn(process.execPath, [file], { env: { PATH: pathWithThisNode } })
  let output = ""
  for (const stream of [client.stdout, client.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text))
  try {
    await eventually("the first rows", () => output.includes("40 issues"))
    await db().query("INSERT INTO issues (project_id, title) VALUES (1, 'Write the README')")
    await eventually("the new row", () => output.includes("41 issues"))
  } catch (error) {
    throw new Error(`${String(error)}. The snippet printed:\n${output}`, { cause: error })
  } finally {
    client.kill()
    rmSync(directory, { recursive: true, force: true })
  }
})
