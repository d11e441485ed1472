import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path))
if (executablePath === undefined)
  console.warn(
    "Skipped: the test of the page for operators needs Chromium (Debian: apt-get install chromium)."
  )

const axeSource = (): string | undefined => {
  try {
    return readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
  } catch {
    console.warn("Left out: what axe-core says of the page (npm ci installs it).")
    return undefined
  }
}

/** With `SCREENSHOTS=docs/images` the pictures of the documentation are taken anew. */
const pictures = process.env["SCREENSHOTS"]
const secret = "for operators <only>"
const hostile = '<img src=x onerror="document.title=1">'

interface Axe {
  readonly run: (options: object) => Promise<{
    readonly violations: ReadonlyArray<{
      readonly id: string
      readonly help: string
      readonly nodes: ReadonlyArray<{ readonly html: string }>
    }>
  }>
}

const picture = async (tab: Page, name: string) => {
  if (pictures === undefined) return
  mkdirSync(resolve(pictures), { recursive: true })
  await tab.screenshot({ path: join(resolve(pictures), `${name}.png`) })
}

describe.skipIf(executablePath === undefined)("the page for operators, in Chromium", () => {
  const db = databaseForFile((database) =>
    database.query(
      `CREATE TABLE orders (id int PRIMARY KEY, tenant text, state text, total numeric);
       INSERT INTO orders SELECT i, 'tenant-' || i % 20, CASE WHEN i % 7 = 0 THEN NULL ELSE 'open' END, i FROM generate_series(1, 2000) i;
       CREATE TABLE "${hostile.replaceAll('"', '""')}" (id int PRIMARY KEY, name text);
       INSERT INTO "${hostile.replaceAll('"', '""')}" VALUES (1, '<script>document.title=2</script>')`
    )
  )
  const axe = axeSource()
  let service: TestService
  let browser: Browser
  let context: BrowserContext
  let page: Page
  let metricsPort: number
  /** What the page has said to the console, or asked of another place. */
  const complaints: Array<string> = []

  const open = async (
    options: Parameters<Browser["newContext"]>[0] = {},
    password: string | null = secret
  ) => {
    const opened = await browser.newContext({
      ...(password === null ? {} : { httpCredentials: { username: "me", password } }),
      ...options
    })
    const tab = await opened.newPage()
    tab.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text())
    })
    tab.on("pageerror", (error) => complaints.push(String(error)))
    tab.on("request", (request) => {
      if (!request.url().startsWith("http://127.0.0.1:")) complaints.push(`asked for ${request.url()}`)
    })
    return { opened, tab }
  }

  const goTo = async (tab: Page, hash: string, port = service.port) => {
    await tab.goto(`http://127.0.0.1:${port}/baton/${hash}`)
    await tab.locator("#link", { hasText: "live" }).waitFor()
  }

  const mustBeAccessible = async (tab: Page, what: string) => {
    if (axe === undefined) return
    // By way of the debugger: what the page allows itself does not hold for it.
    await tab.evaluate(axe)
    const { violations } = await tab.evaluate(() =>
      (globalThis as unknown as { readonly axe: Axe }).axe.run({
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
      })
    )
    assert.deepStrictEqual(
      violations.map(({ help, id, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`),
      [],
      what
    )
  }

  const focused = () => page.evaluate<string>("document.activeElement.textContent")

  beforeAll(async () => {
    metricsPort = await freePort()
    service = await startService({
      database: db(),
      env: {
        ELECTRIC_INSECURE: undefined,
        ELECTRIC_SECRET: secret,
        ELECTRIC_INSTANCE_ID: "blue",
        ELECTRIC_PROMETHEUS_PORT: String(metricsPort),
        BATON_SHAPE_DORMANT_AFTER: "1s"
      }
    })
    const conditions: ReadonlyArray<readonly [string, string | undefined]> = [
      ...Array.from(
        { length: 60 },
        (_, i) => ["orders", `tenant = 'tenant-${i}' AND state = 'open'`] as const
      ),
      ["orders", "total > 10 OR state = 'done'"],
      [`"${hostile.replaceAll('"', '""')}"`, undefined]
    ]
    for (const [table, where] of conditions) {
      const params = new URLSearchParams({ table, offset: "-1", secret })
      if (where !== undefined) params.set("where", where)
      const response = await fetch(`${service.url}/v1/shape?${params}`)
      assert.strictEqual(response.status, 200, await response.text())
    }
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    })
    const { opened, tab } = await open({
      viewport: { width: 1280, height: 800 },
      colorScheme: "light"
    })
    context = opened
    page = tab
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    await service?.dispose()
  })

  it("needs the secret, and loads 100 KB at most", async () => {
    const { opened, tab } = await open({}, "wrong")
    assert.strictEqual((await tab.goto(`${service.url}/baton`))?.status(), 401)
    await opened.close()
    complaints.length = 0
    let bytes = 0
    const count = async (file: string) => {
      const response = await fetch(`${service.url}/baton/${file}`, {
        headers: { authorization: `Bearer ${encodeURI(secret)}`, "accept-encoding": "gzip" }
      })
      const length = Number(response.headers.get("content-length"))
      await response.arrayBuffer()
      return length
    }
    const files = new Set<string>()
    page.on("request", (request) => {
      const { pathname } = new URL(request.url())
      if (!pathname.includes("/api/")) files.add(pathname.split("/").at(-1) ?? "")
    })
    await page.goto(`${service.url}/baton`)
    await page.locator("#link", { hasText: "live" }).waitFor()
    for (const file of files) bytes += await count(file)
    assert.isAtLeast(files.size, 8)
    assert.isAtMost(bytes, 100 * 1024)
  })

  it("shows how the service is, live", async () => {
    await goTo(page, "")
    await page.locator("#state", { hasText: "active" }).waitFor()
    const stop = new AbortController()
    const writing = (async () => {
      for (let i = 0; !stop.signal.aborted; i++)
        await db().query(
          `UPDATE orders SET total = total + 1 WHERE id % 40 = ${i % 40}; SELECT pg_sleep(0.05)`
        )
    })()
    const changes = page.locator("figure", { hasText: "Changes a second" })
    await eventually("changes in the plot", async () => {
      const label = (await changes.locator("svg").getAttribute("aria-label")) ?? ""
      return /now [1-9]/.test(label)
    })
    await page.getByRole("heading", { name: "Replication slot" }).waitFor()
    assert.match(
      await page.getByRole("region", { name: /hold the lock/ }).innerText(),
      /blue \(this one\)[^]*active/
    )
    assert.match(await page.locator("section", { hasText: "Takeovers" }).innerText(), /START_REPLICATION/)
    if (pictures !== undefined) await page.waitForTimeout(25_000)
    // What somebody has gone to by keys stays there, however often the figures are others.
    await page.locator("main").getByRole("link", { name: "62" }).focus()
    const upFor = page.locator("dd", { hasText: / s$/ }).first()
    const before = await upFor.innerText()
    await eventually("other figures", async () => (await upFor.innerText()) !== before)
    assert.strictEqual(await focused(), "62")
    await mustBeAccessible(page, "overview")
    await picture(page, "dashboard-light")
    stop.abort()
    await writing
  })

  it("searches and sorts shapes at the service, and can be gone through by keys alone", async () => {
    await goTo(page, "")
    await page.keyboard.press("Tab")
    assert.strictEqual(await focused(), "Skip to content")
    await page.getByText(/^62, 100\s?% of them dormant$/).waitFor()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.locator("main").getByText("62 shapes", { exact: true }).waitFor()
    await page
      .getByRole("cell", { name: / ago, dormant$/ })
      .first()
      .waitFor()
    assert.strictEqual(await focused(), "Shapes")
    await page.getByRole("button", { name: "Next" }).press("Enter")
    await page.getByText("Page 2 of 2").waitFor()
    assert.strictEqual(await page.getByRole("row").count(), 13)
    await page.getByRole("button", { name: "Stored" }).press("Enter")
    await page.locator('th[aria-sort="descending"]', { hasText: "Stored" }).waitFor()
    await eventually("the focus", async () => (await focused()).startsWith("Stored"))
    await mustBeAccessible(page, "shapes")
    await picture(page, "dashboard-shapes")
    await page.getByLabel("Handle, table or condition").fill("TENANT-7'")
    await page.keyboard.press("Enter")
    await page.locator("main").getByText("1 of 62 shapes").waitFor()
    await page.getByRole("link", { name: "public.orders" }).click()
    await page.getByRole("heading", { name: "Shape of public.orders" }).waitFor()
  })

  it("shows a shape's changes as they come, says why a row is in it, and deletes it", async () => {
    assert.match(await page.locator("pre").innerText(), /^curl -G 'http:\/\/127\.0\.0\.1:\d+\/v1\/shape\?/)
    assert.notInclude(await page.content(), secret)
    await page.getByRole("button", { name: "Show rows" }).click()
    await page.getByRole("region", { name: /Last changes/ }).waitFor()
    await db().query("UPDATE orders SET total = 4711 WHERE id = 27")
    await page
      .getByRole("region", { name: /Last changes/ })
      .getByText("total: 4711")
      .waitFor()
    for (const [id, text] of [
      ["27", "the row is in the shape"],
      ["28", "The row is not in the shape"],
      ["7", "What is NULL is not true"],
      ["9999", "no row of this key"]
    ] as const) {
      await page.getByLabel("id", { exact: true }).fill(id)
      await page.getByRole("button", { name: "Ask" }).click()
      await page.getByText(text).waitFor()
    }
    await page.getByRole("button", { name: "Have Postgres count them" }).click()
    await eventually("the count", async () => /Rows\s*8\d/.test(await page.locator("main").innerText()))
    await mustBeAccessible(page, "shape")
    await picture(page, "dashboard-shape")
    page.once("dialog", (dialog) => void dialog.accept())
    await page.getByRole("button", { name: "Delete the shape" }).click()
    await page.locator("main").getByText("61 shapes", { exact: true }).waitFor()
  })

  it("takes names and values for what they are", async () => {
    await goTo(page, "#/shapes?search=img")
    await page.getByRole("link", { name: hostile }).click()
    await page.getByRole("heading", { name: `Shape of public.${hostile}` }).waitFor()
    await page.getByRole("button", { name: "Show rows" }).click()
    await db().query(
      `UPDATE "${hostile.replaceAll('"', '""')}" SET name = '<b onmouseover="document.title=3">x</b>'`
    )
    await page.getByText('<b onmouseover="document.title=3">x</b>').waitFor()
    assert.strictEqual(await page.title(), "Shape · Baton")
    assert.strictEqual(await page.locator("main img, main script, main b[onmouseover]").count(), 0)
  })

  it("shows the configuration without its secrets, and what went wrong", async () => {
    await goTo(page, "#/config")
    await page.getByLabel("Name or meaning").fill("ELECTRIC_SECRET")
    await page.getByRole("row", { name: /^ELECTRIC_SECRET \(hidden\)/ }).waitFor()
    assert.notInclude(await page.content(), secret)
    await mustBeAccessible(page, "configuration")
    await goTo(page, "#/faults")
    await page.getByRole("heading", { name: "Last in the log" }).waitFor()
    await mustBeAccessible(page, "faults")
  })

  it("is dark where that is wanted, and right on a phone", async () => {
    const { opened, tab } = await open({
      colorScheme: "dark",
      viewport: { width: 375, height: 812 },
      deviceScaleFactor: 1
    })
    for (const hash of ["", "#/shapes", "#/config", "#/faults"]) {
      await goTo(tab, hash)
      await tab.locator("h1").waitFor()
      const overflow = await tab.evaluate<number>("document.documentElement.scrollWidth - innerWidth")
      assert.isAtMost(overflow, 0, `${hash} is wider than the phone`)
      await mustBeAccessible(tab, `${hash} on a phone, dark`)
      if (hash === "") await picture(tab, "dashboard-phone")
    }
    await tab.setViewportSize({ width: 1280, height: 800 })
    await goTo(tab, "")
    if (pictures !== undefined) await tab.waitForTimeout(20_000)
    await picture(tab, "dashboard-dark")
    await opened.close()
  })

  it("asks for the secret itself where the port of metrics shows rows", async () => {
    const { opened, tab } = await open({}, null)
    await goTo(tab, "#/shapes?search=tenant-9'", metricsPort)
    await tab.getByRole("link", { name: "public.orders" }).click()
    assert.include(await tab.locator("pre").innerText(), `:${service.port}/v1/shape`)
    await tab.getByRole("button", { name: "Show rows" }).click()
    await tab.getByLabel("Secret", { exact: true }).fill(secret)
    await tab.keyboard.press("Enter")
    await eventually("rows", async () => !(await tab.getByRole("button", { name: "Show rows" }).isVisible()))
    await opened.close()
    // What the browser says of a refusal that the page has asked for.
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("401")))
  })

  it("has asked nobody else for anything, and the browser had nothing to complain of", () => {
    assert.deepStrictEqual(complaints, [])
    assert.isAtLeast(context.pages().length, 1)
  })
})
