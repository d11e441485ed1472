import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, it, onTestFinished } from "vitest"
import { canTraverse } from "../../src/dev/PostgresBinaries.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { startService } from "../../testing/services/Service.ts"
import { root } from "./consumer.ts"

const user = { name: "node", uid: 1000, gid: 1000 }
const cannotTry =
  process.getuid?.() !== 0
    ? "only root can become somebody else"
    : canTraverse(path.join(root, "src"), user)
      ? undefined
      : "this checkout is closed to other users"

/** Of a process, as Linux tells them: real, effective, saved and of the file system. */
const ids = (pid: number, which: "Uid" | "Gid"): ReadonlyArray<string> =>
  new RegExp(`^${which}:\\s+(.*)$`, "m")
    .exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    ?.split("\t") ?? []

it("the image gives a volume of root's to its user and becomes that user", async ({ skip }) => {
  if (cannotTry !== undefined) return skip(cannotTry)
  const database = await createDatabase()
  const directory = mkdtempSync(path.join(os.tmpdir(), "baton-volume-"))
  onTestFinished(async () => {
    await database.drop()
    rmSync(directory, { recursive: true, force: true })
  })
  chmodSync(directory, 0o755)
  const storageDir = path.join(directory, "data")
  // As an engine mounts a new volume, with what an instance of root's and another service have left in it.
  mkdirSync(path.join(storageDir, database.streamId, "old"), { recursive: true })
  writeFileSync(path.join(storageDir, database.streamId, "old", "file"), "")
  mkdirSync(path.join(storageDir, "foreign"))
  chownSync(path.join(storageDir, "foreign"), 7, 7)
  await using service = await startService({
    database,
    storageDir,
    entry: path.join(root, "src/container.ts")
  })
  assert.deepStrictEqual(ids(service.pid, "Uid"), ["1000", "1000", "1000", "1000"])
  assert.deepStrictEqual(ids(service.pid, "Gid"), ["1000", "1000", "1000", "1000"])
  const owner = (name: string) => statSync(path.join(storageDir, name)).uid
  assert.strictEqual(owner("."), user.uid)
  assert.strictEqual(owner(path.join(database.streamId, "old", "file")), user.uid)
  assert.strictEqual(owner("foreign"), 7)
  await database.query("CREATE TABLE items (id int PRIMARY KEY)")
  assert.strictEqual((await fetch(`${service.url}/v1/shape?table=items&offset=-1`)).status, 200)
  assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
})
