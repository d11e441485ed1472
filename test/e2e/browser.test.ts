import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { chromium, type Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path))
if (executablePath === undefined)
  console.warn("Skipped: the test in a browser needs Chromium (Debian: apt-get install chromium).")

const shapes = 20
const clientModule = join(
  createRequire(import.meta.url).resolve("@electric-sql/client"),
  "../../index.browser.mjs"
)

/** Follows every shape, and notes what each of them says now. */
const page = `<!doctype html><title>live</title><script type="module">
import { Shape, ShapeStream } from "/client.mjs"
window.seen = []
window.problems = []
for (let i = 0; i < ${shapes}; i++) {
  const stream = new ShapeStream({
    url: location.origin + "/v1/shape",
    params: { table: "live", where: "bucket = " + i },
    onError: (error) => void window.problems.push(String(error))
  })
  new Shape(stream).subscribe(({ rows }) => (window.seen[i] = rows.map((row) => row.n).join()))
}
</script>`

interface Window {
  readonly seen: ReadonlyArray<string>
  readonly problems: ReadonlyArray<string>
}

describe.skipIf(executablePath === undefined)("a page in Chromium", () => {
  const db = databaseForFile((database) =>
    database.query(
      `CREATE TABLE live (bucket int PRIMARY KEY, n int);
       INSERT INTO live SELECT i, 0 FROM generate_series(0, ${shapes - 1}) i`
    )
  )
  const home = mkdtempSync(join(tmpdir(), "baton-https-"))
  let service: TestService
  let browser: Browser

  beforeAll(async () => {
    service = await startService({
      database: db(),
      env: { BATON_DEV_DIR: home },
      arguments: ["--https"],
      until: false
    })
    await service.untilLogged(/Shapes: +https:\/\/127\.0\.0\.1/)
    await service.untilLogged(/-> active/)
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    })
  })
  afterAll(async () => {
    await browser?.close()
    await service?.dispose()
    rmSync(home, { recursive: true, force: true })
  })

  it("follows 20 live shapes at once over one HTTP/2 connection", async () => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true })
    const tab = await context.newPage()
    const origin = `https://localhost:${service.port}`
    await tab.route(`${origin}/page`, (route) => route.fulfill({ contentType: "text/html", body: page }))
    await tab.route(`${origin}/client.mjs`, (route) =>
      route.fulfill({ contentType: "text/javascript", body: readFileSync(clientModule, "utf8") })
    )
    await tab.goto(`${origin}/page`)
    const look = () =>
      tab.evaluate(() => {
        const { seen, problems } = globalThis as unknown as Window
        return { seen: [...seen], problems: [...problems] }
      })
    const all = (n: number) =>
      eventually(
        `all shapes to show ${n}`,
        async () => {
          const { seen, problems } = await look()
          if (problems.length > 0) throw new Error(problems.join("\n"))
          if (seen.length !== shapes || seen.some((text) => text !== String(n)))
            throw new Error(seen.join(" "))
          return true
        },
        20_000
      )
    await all(0)
    // Each round needs every shape's live request to be at the service: with six connections fourteen would be waiting.
    for (let n = 1; n <= 5; n++) {
      await db().query("UPDATE live SET n = $1", [n])
      await all(n)
    }
    const protocols = await tab.evaluate(() => [
      ...new Set(
        performance
          .getEntriesByType("resource")
          .filter((entry) => entry.name.includes("/v1/shape"))
          .map((entry) => (entry as unknown as { nextHopProtocol: string }).nextHopProtocol)
      )
    ])
    assert.deepStrictEqual(protocols, ["h2"])
    assert.deepStrictEqual((await look()).problems, [])
  })
})
