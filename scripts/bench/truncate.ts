/**
 * How long other tables wait while a large one is truncated, and after what time its readers are told. The floor is the same
 * without a TRUNCATE, of the same run.
 *
 *   npx node scripts/bench/truncate.ts [--rows 200000]
 */
import { mkdtempSync, rmSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { connectTo } from "../../testing/postgres/RowText.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { startService } from "../../testing/services/Service.ts"

const { values: options } = parseArgs({ options: { rows: { type: "string", default: "200000" } } })
const cluster = await startCluster()
const admin = await connectTo(cluster.url("postgres"))
await admin.query(`
  CREATE TABLE big (id int PRIMARY KEY, t text); CREATE TABLE small (id int PRIMARY KEY, n int);
  INSERT INTO big SELECT i, repeat('x', 60) FROM generate_series(1, ${Number(options.rows)}) i; INSERT INTO small VALUES (1, 0)`)
const storageDir = mkdtempSync(path.join(tmpdir(), "baton-truncate-"))
const service = await startService({
  storageDir,
  env: { DATABASE_URL: cluster.url("postgres"), ELECTRIC_REPLICATION_STREAM_ID: "truncate" }
})
const rounded = (millis: number) => `${Math.round(millis)} ms`
const probe = { isOver: false, n: 0, worstMillis: 0 }
try {
  const big = new ShapeLogReader({ url: service.url, params: { table: "big" } })
  await big.readToEnd()
  const small = new ShapeLogReader({ url: service.url, params: { table: "small" } })
  await small.readToEnd()
  const probing = (async () => {
    while (!probe.isOver) {
      const n = String(++probe.n)
      const begun = performance.now()
      await admin.query(`UPDATE small SET n = ${n}`)
      await small.followUntil(`change ${n}`, () => [...small.rows.values()].some((row) => row["n"] === n))
      probe.worstMillis = Math.max(probe.worstMillis, performance.now() - begun)
      await sleep(5)
    }
  })()
  await sleep(3000)
  const floorMillis = probe.worstMillis
  probe.worstMillis = 0
  const writer = await connectTo(cluster.url("postgres"))
  const begun = performance.now()
  await writer.query("TRUNCATE big")
  for (let isTold = false; !isTold;) {
    const { messages } = await requestLog(service.url, { table: "big" }, big.position, { live: true })
    isTold = messages.some(({ headers }) => headers.operation === "delete")
  }
  const toldMillis = performance.now() - begun
  probe.isOver = true
  await probing
  await writer.end()
  process.stdout.write(
    `${options.rows} rows: told after ${rounded(toldMillis)}; slowest change of another table ${rounded(probe.worstMillis)} meanwhile, ` +
      `${rounded(floorMillis)} before (${(probe.worstMillis / floorMillis).toFixed(1)} times)\n`
  )
} finally {
  await service.dispose()
  await admin.end()
  await cluster.destroy()
  rmSync(storageDir, { recursive: true, force: true })
}
