import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, it } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { batonVersion } from "../../src/shared/ServerIdentity.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { startService } from "../../testing/services/Service.ts"
import { root, unpackPackage } from "./consumer.ts"

const run = promisify(execFile)
const directory = mkdtempSync(path.join(os.tmpdir(), "baton-bundle-"))
const database = await createDatabase()
afterAll(async () => {
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

it("the few files that the image has instead of many do the same", async () => {
  // With what `scripts/build.ts` has made.
  await unpackPackage(directory)
  cpSync(path.join(root, "scripts"), path.join(directory, "scripts"), { recursive: true })
  symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"))
  await run(process.execPath, [path.join(directory, "scripts/bundle.ts")])
  const entry = path.join(directory, "dist/main.js")
  const { stdout } = await run(process.execPath, [entry, "--version"])
  assert.strictEqual(stdout, `${batonVersion}\n`)
  for (const folder of ["dist/http", "dist/workers", "node_modules"])
    rmSync(path.join(directory, folder), { recursive: true })
  // The only packages that the image has.
  mkdirSync(path.join(directory, "node_modules"))
  for (const name of ["libpg-query", "@pgsql"])
    cpSync(path.join(root, "node_modules", name), path.join(directory, "node_modules", name), {
      recursive: true
    })

  await database.query(
    "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a')"
  )
  const metricsPort = await freePort()
  await using service = await startService({
    entry,
    database,
    env: {
      BATON_HTTP_WORKERS: "1",
      ELECTRIC_PROMETHEUS_PORT: String(metricsPort),
      NODE_COMPILE_CACHE: path.join(directory, "compiled")
    }
  })
  const response = await fetch(`${service.url}/v1/shape?table=items&where=name%3D'a'&offset=-1`)
  assert.include(response.headers.get("electric-server"), batonVersion)
  assert.include(await response.text(), `"name":"a"`)
  await service.untilLogged(/HTTP worker 1 answers requests/)
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
  assert.match(metrics, /worker-1/)
  for (const port of [service.port, metricsPort])
    assert.include(await (await fetch(`http://127.0.0.1:${port}/baton/`)).text(), "<title>Baton</title>")
  assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
})
