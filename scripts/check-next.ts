/**
 * Checks what docs/library.md says of Next.js, as its reader would do it: installs the packed repository beside Next.js in an
 * empty project, builds that without a database, runs it with one, and ends it.
 *
 *   npx node scripts/check-next.ts
 *
 * Not among the tests: the installation takes 460 MB and, with the build, some minutes.
 */
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { demoData } from "../src/dev/DemoData.ts"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { freePort } from "../src/dev/FreePort.ts"
import { examplesOf, root } from "../test/package/consumer.ts"

/** From the start to an active instance, at most. */
const startMillis = 60_000
const packages = ["next@16", "react@19", "react-dom@19", "@types/react@19", "@types/node@24", "typescript@5"]
const pages = {
  "app/layout.tsx":
    "export default function Layout({ children }: { children: React.ReactNode }) {\n" +
    '  return <html lang="en"><body>{children}</body></html>\n}\n',
  "app/page.tsx": "export default function Page() { return <p>hello</p> }\n"
}

const began = performance.now()
const check = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(`It does not hold that ${what}`)
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ok: ${what}`)
}

const directory = mkdtempSync(path.join(tmpdir(), "baton-next-"))
/** How npm reaches its registry is the user's business; of Baton's configuration the build must not know anything. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(DATABASE_URL$|ELECTRIC_|BATON_)/.test(name))
)
const run = (command: string, args: ReadonlyArray<string>, cwd: string): void => {
  execFileSync(command, args, {
    cwd,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...environment, NEXT_TELEMETRY_DISABLED: "1" }
  })
}

const write = (file: string, text: string): void => {
  mkdirSync(path.dirname(path.join(directory, file)), { recursive: true })
  writeFileSync(path.join(directory, file), text)
}

/** The project of the document's reader. */
const install = (): void => {
  write("package.json", '{ "private": true }')
  run("npm", ["pack", "--pack-destination", directory, "--loglevel=error"], root)
  const tarball = readdirSync(directory).find((name) => name.endsWith(".tgz"))
  run(
    "npm",
    ["install", "--no-audit", "--no-fund", "--loglevel=error", ...packages, `./${tarball}`],
    directory
  )
  for (const [file, text] of Object.entries(pages)) write(file, text)
  for (const { code, file } of examplesOf("docs/library.md"))
    if (file.startsWith("app/") || file.startsWith("next.")) write(file, code)
}

const next = path.join(directory, "node_modules/next/dist/bin/next")

const serve = async (databaseUrl: string): Promise<void> => {
  const port = await freePort()
  const server = spawn(process.execPath, [next, "start", "-p", String(port)], {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      ...environment,
      NODE_ENV: "production",
      NEXT_MANUAL_SIG_HANDLE: "true",
      DATABASE_URL: databaseUrl,
      ELECTRIC_INSECURE: "true",
      ELECTRIC_STORAGE_DIR: path.join(directory, "storage")
    }
  })
  const ended = new Promise<number | null>((resolve) => server.once("exit", resolve))
  try {
    const ask = (target: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${target}`, init)
    const isActive = async () => (await (await ask("/sync/v1/health")).text()) === '{"status":"active"}'
    while (!(await isActive().catch(() => false))) {
      if (performance.now() > deadline) throw new Error("Waited in vain for an active instance")
      await sleep(200)
    }
    check((await (await ask("/")).text()).includes("hello"), "pages are served")
    const shape = await ask("/sync/v1/shape?table=issues&offset=-1")
    check(((await shape.json()) as ReadonlyArray<unknown>).length > 100, "a shape's first rows arrive")
    const subset = await ask("/sync/v1/shape?table=issues&offset=-1", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"where":"id = 5"}'
    })
    const { data } = (await subset.json()) as { readonly data: ReadonlyArray<unknown> }
    check(data.length === 1, "bodies arrive")
    const handle = shape.headers.get("electric-handle")
    const held = ask(`/sync/v1/shape?table=issues&offset=0_inf&live=true&handle=${handle}`)
    await sleep(500)
    server.kill("SIGTERM")
    check((await held).status === 200, "a request that is held when it is told to end gets an answer")
    check((await ended) === 0, "it ends with 0")
  } finally {
    server.kill("SIGKILL")
  }
}

let deadline = 0
const cluster = await startCluster()
try {
  install()
  check(true, "the package is installed beside Next.js")
  run(process.execPath, [next, "build"], directory)
  check(true, "next build succeeds without a database")
  const database = "next_check"
  for (const [name, sql] of [
    ["postgres", `CREATE DATABASE ${database}`],
    [database, demoData]
  ] as const) {
    const client = new pg.Client({ connectionString: cluster.url(name) })
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  deadline = performance.now() + startMillis
  await serve(cluster.url(database))
} finally {
  await cluster.destroy()
  rmSync(directory, { recursive: true, force: true })
}
