import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import pg from "pg"
import { chromium, type Browser, type Page } from "playwright-core"
import { build, preview } from "vite"
import { afterAll, afterEach, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => existsSync(file))
if (executablePath === undefined)
  console.warn("Skipped: the example pages need Chromium (Debian: apt-get install chromium).")

const root = path.resolve(import.meta.dirname, "../..")

/** With UPDATE_SCREENSHOTS set, the pictures of the documentation are made anew. */
const updatesScreenshots = process.env["UPDATE_SCREENSHOTS"] !== undefined

const screenshot = async (page: Page, name: string) => {
  const file = path.join(root, "docs/images", `${name}.png`)
  const picture = await page.screenshot(updatesScreenshots ? { path: file } : {})
  assert.isAbove(picture.length, 5_000)
  assert.isTrue(existsSync(file), "docs has the picture")
}
const shows = (page: Page, text: string | RegExp) =>
  eventually(`the page to show ${text}`, async () => {
    const content = await page.innerText("body")
    if (typeof text === "string" ? content.includes(text) : text.test(content)) return true
    throw new Error(content)
  })

describe.skipIf(executablePath === undefined)("the example pages, against what `npm start` starts", () => {
  const home = mkdtempSync(path.join(os.tmpdir(), "baton-examples-"))
  chmodSync(home, 0o755)
  let service: TestService
  let database: pg.Client
  let browser: Browser

  beforeAll(async () => {
    const launched = chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    })
    service = await startService({ env: { BATON_DEV_DIR: home, ELECTRIC_INSECURE: undefined } })
    const [, url = ""] = await service.untilLogged(/Database: (postgresql:\S+)/)
    process.env["DATABASE_URL"] = url
    process.env["VITE_BATON_URL"] = service.url
    database = new pg.Client({ connectionString: url })
    database.on("error", () => {})
    await database.connect()
    browser = await launched
  })
  afterAll(async () => {
    await browser?.close()
    await database?.end()
    await service?.stop()
    rmSync(home, { recursive: true, force: true })
  })
  afterEach(({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(service.logs())
  })

  /** Builds the page, serves it as its README says, and opens it. */
  const open = async (name: string): Promise<Page> => {
    const outDir = path.join(home, name)
    const project = { root: path.join(root, "examples", name), logLevel: "error", build: { outDir } } as const
    await build(project)
    const server = await preview({ ...project, preview: { port: 0, host: "127.0.0.1" } })
    onTestFinished(() => server.close())
    const page = await browser.newPage({ viewport: { width: 760, height: 640 } })
    onTestFinished(() => page.close())
    const problems: Array<string> = []
    page.on("pageerror", (error) => problems.push(String(error)))
    onTestFinished(() => assert.deepStrictEqual(problems, []))
    await page.goto(server.resolvedUrls?.local[0] ?? "")
    return page
  }
  it("React: a shape for each project, live", async () => {
    const page = await open("react")
    await shows(page, /\d+ open of 40/)
    await screenshot(page, "react")
    await database.query(
      "INSERT INTO issues (project_id, title, status, priority) VALUES (1, 'Typed while you look', 'todo', 3)"
    )
    await shows(page, /\d+ open of 41/)
    await page.getByRole("button", { name: "Billing" }).click()
    await shows(page, /\d+ open of 40/)
    await database.query("DELETE FROM issues WHERE project_id = 3")
    await shows(page, "0 open of 0")
    await database.query(
      "UPDATE issues SET title = 'Renamed', priority = 3 WHERE title = 'Typed while you look'"
    )
    await page.getByRole("button", { name: "Website" }).click()
    await shows(page, /\d+ open of 41/)
  })

  it(
    "TanStack DB: loads what is asked for, shows a write at once, and keeps it",
    { timeout: patient(60_000) },
    async () => {
      const page = await open("tanstack-db")
      const rows = async (project: number) => {
        const { rows: expected } = await database.query<{ row: string }>(
          `SELECT concat_ws(' ', id, title, replace(status::text, '_', ' ')) AS row FROM issues
         WHERE project_id = $1 ORDER BY priority DESC, id LIMIT 15`,
          [project]
        )
        return expected.map(({ row }) => row)
      }
      const showsRowsOf = (project: number) =>
        eventually(`the rows of project ${project}`, async () => {
          const found = await page.locator("tbody tr").allInnerTexts()
          const shown = found.map((text) => text.replaceAll(/\s+/g, " ").trim())
          assert.deepStrictEqual(shown, await rows(project))
          return true
        })
      await showsRowsOf(1)
      await screenshot(page, "tanstack-db")

      // Other people's projects are for their members, and for whoever becomes one.
      await page.getByRole("button", { name: "Billing" }).click()
      await shows(page, "Its issues are for members.")
      assert.strictEqual(await page.locator("tbody tr").count(), 0)
      // Only what the collection has had confirmed goes again with somebody else's delete: while its own insert is on the way,
      // it shows that, whatever the shape has told.
      const confirmed = page.waitForResponse(/\/api\/members\//)
      await page.getByRole("button", { name: "Join" }).click()
      await (await confirmed).finished()
      await showsRowsOf(3)
      await database.query("DELETE FROM members WHERE project_id = 3 AND person = 'ada'")
      await shows(page, "Its issues are for members.")
      await eventually("the issues to go", async () => (await page.locator("tbody tr").count()) === 0)
      await page.getByRole("button", { name: "Search" }).click()
      await showsRowsOf(4)

      const first = page.locator("tbody tr").first()
      const id = Number(await first.getAttribute("data-id"))
      const statusOf = async () =>
        (await database.query<{ status: string }>("SELECT status FROM issues WHERE id = $1", [id])).rows[0]
          ?.status
      const before = await statusOf()
      await first.getByRole("button").click()
      await eventually("the write in the database", async () => (await statusOf()) !== before)
      await showsRowsOf(4)

      // Somebody else's changes: to a row on the page, to the order, and a row that enters.
      await database.query("UPDATE issues SET title = 'Changed elsewhere' WHERE id = $1", [id])
      await database.query(
        "UPDATE issues SET priority = 0 WHERE id = (SELECT max(id) FROM issues WHERE project_id = 4)"
      )
      await database.query(
        "INSERT INTO issues (id, project_id, title, priority) VALUES (-1, 4, 'New here', 3)"
      )
      await showsRowsOf(4)
    }
  )
})
