import { assert, it } from "@effect/vitest"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { onTestFinished } from "vitest"
import { fileProblems } from "../../src/config/CheckFiles.ts"
import { startService } from "../../testing/services/Service.ts"

const problem = (file: string | undefined) => fileProblems({ databaseCaCertificateFile: file })

it("a CA certificate file that cannot be used is named before anything is connected to", async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-files-"))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const good = path.join(directory, "ca.pem")
  const bad = path.join(directory, "ca.der")
  writeFileSync(good, "# ours\n-----BEGIN CERTIFICATE-----\n")
  writeFileSync(bad, "0000")
  assert.deepStrictEqual([problem(undefined), problem(good)], [[], []])
  const variable = "ELECTRIC_DATABASE_CA_CERTIFICATE_FILE"
  assert.deepStrictEqual(problem(bad), [`${variable}="${bad}": the file holds no certificate in PEM format`])
  assert.deepStrictEqual(problem("/nope.pem"), [`${variable}="/nope.pem": the file cannot be read (ENOENT)`])
  assert.deepStrictEqual(problem(directory), [`${variable}="${directory}": the file cannot be read (EISDIR)`])
  await using service = await startService({
    env: { DATABASE_URL: "postgres://u:p@127.0.0.1:1/d", [variable]: "/nope.pem" },
    until: false
  })
  assert.deepStrictEqual(await service.ended, { code: 1, signal: null })
  assert.include(service.logs(), `${variable}="/nope.pem": the file cannot be read (ENOENT)`)
})
