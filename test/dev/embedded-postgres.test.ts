import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { once } from "node:events"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { postgresBinaries, postgresUser } from "../../src/dev/PostgresBinaries.ts"
import { isAlive } from "../../src/dev/Processes.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { vi } from "vitest"

const using = async (
  options: Parameters<typeof startCluster>[0],
  work: (cluster: Cluster) => Promise<void>
) => {
  const cluster = await startCluster(options)
  try {
    await work(cluster)
  } finally {
    await cluster.destroy()
  }
  assert.isFalse(existsSync(cluster.directory))
}

describe("a private cluster", () => {
  it("keeps what was committed through stop, crash and new settings, on one port", () =>
    using({ settings: { max_connections: "30" } }, async (cluster) => {
      const { port } = cluster
      const db = await createDatabase(cluster)
      await db.query("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
      await cluster.restart({ max_connections: "40" })
      assert.deepStrictEqual(await db.query("SHOW max_connections"), [{ max_connections: "40" }])
      await cluster.kill()
      assert.isUndefined(cluster.pid())
      await cluster.start()
      assert.deepStrictEqual(await db.query("SELECT id FROM t"), [{ id: 1 }])
      assert.strictEqual(cluster.port, port)
      await db.drop()
    }))

  it("answers nothing while frozen, and everything afterwards", () =>
    using({}, async (cluster) => {
      const db = await createDatabase(cluster)
      await db.query("SELECT 1")
      cluster.freeze()
      let answered = false
      const answer = db.query("SELECT 2 AS two").then((rows) => {
        answered = true
        return rows
      })
      const patience = await eventually("an answer", () => answered, 300).catch((error: unknown) =>
        String(error)
      )
      assert.include(patience, "in vain for an answer")
      cluster.thaw()
      assert.deepStrictEqual(await answer, [{ two: 2 }])
      await db.drop()
    }))

  it("can be an old version", () =>
    using({ version: 14 }, async (cluster) => {
      const db = await createDatabase(cluster)
      const [row] = await db.query<{ server_version: string }>("SHOW server_version")
      assert.match(row?.server_version ?? "", /^14\./)
      await db.drop()
    }))

  it("can be another installation, which BATON_DEV_POSTGRES names", async () => {
    try {
      vi.stubEnv("BATON_DEV_POSTGRES", await postgresBinaries(14, postgresUser()))
      await using({}, async (cluster) => {
        const db = await createDatabase(cluster)
        const [row] = await db.query<{ server_version: string }>("SHOW server_version")
        assert.match(row?.server_version ?? "", /^14\./)
        await db.drop()
      })
      vi.stubEnv("BATON_DEV_POSTGRES", "/nowhere")
      const refused = await startCluster().then(
        () => "started",
        (error: unknown) => String(error)
      )
      assert.include(refused, "BATON_DEV_POSTGRES is /nowhere")
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it("ends, and takes its files with it, when its owner is killed", async () => {
    const module = path.resolve("src/dev/EmbeddedPostgres.ts")
    const owner = spawn(
      process.execPath,
      [
        "--input-type=module",
        "--eval",
        `const { startCluster } = await import(${JSON.stringify(module)})
         const cluster = await startCluster()
         console.log(JSON.stringify({ pid: cluster.pid(), directory: cluster.directory }))
         setInterval(() => {}, 1000)`
      ],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const [line]: Array<unknown> = await once(createInterface(owner.stdout), "line")
    const { pid, directory }: { pid: number; directory: string } = JSON.parse(String(line))
    assert.isTrue(isAlive(pid))
    owner.kill("SIGKILL")
    await eventually("the end of Postgres", () => !isAlive(pid) && !existsSync(directory))
  })
})
