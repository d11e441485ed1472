import { assert, describe, it, onTestFinished } from "vitest"
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { diskFault } from "../../src/storage/disk/DiskFault.ts"
import { checkWritable, writeProblem } from "../../src/storage/disk/WriteCheck.ts"
import { createShape, engineAt, temporaryDirectory } from "./support.ts"

const check = (path: string) =>
  checkWritable([{ variable: "ELECTRIC_STORAGE_DIR", path }], storagePaths(path, "default"))

/** A file system of its own, for this test; `undefined` where none can be mounted. */
const mounted = (options: string): string | undefined => {
  const directory = temporaryDirectory()
  if (spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory]).status !== 0) return undefined
  onTestFinished(() => void spawnSync("umount", ["-l", directory]))
  return directory
}

const cannotMount = "no file system can be mounted here"

describe("whether storage can be written", () => {
  it("is found out by doing it, which leaves nothing behind", async () => {
    const directory = temporaryDirectory()
    assert.isUndefined(await check(directory))
    assert.deepStrictEqual(readdirSync(directory), [])
    const deep = join(directory, "a", "b")
    assert.isUndefined(await check(deep))
    assert.deepStrictEqual(readdirSync(deep), [])
    assert.strictEqual(statSync(deep).mode & 0o777, 0o700)
  })

  it("is said with the variable, the path, the user, the error and the way out", async () => {
    const directory = temporaryDirectory()
    const file = join(directory, "file")
    writeFileSync(file, "")
    const uid = `uid ${process.getuid?.()}`
    assert.strictEqual(
      (await check(file))?.message,
      `ELECTRIC_STORAGE_DIR=${file} cannot be written by ${uid}: EEXIST; it is a file; name a directory`
    )
    const below = join(file, "below")
    assert.strictEqual(
      (await check(below))?.message,
      `ELECTRIC_STORAGE_DIR=${below} cannot be written by ${uid}: ENOTDIR; something in this path is no directory; name another one`
    )
    const denied = diskFault("create", join(directory, "default"), { code: "EACCES" })
    assert.match(
      writeProblem({ variable: "ELECTRIC_STORAGE_DIR", path: directory }, denied).message,
      /cannot be written by uid \d+: EACCES at .*\/default; chown it, or set fsGroup/
    )
    const parent = "/proc/none/storage"
    assert.match(
      (await check(parent))?.message ?? "",
      /^ELECTRIC_STORAGE_DIR=\/proc\/none\/storage cannot be written by .*ENOENT; it is not there and cannot be made/
    )
  })

  it("fails on a file system that is read-only, and on one without room for a byte", async (test) => {
    const readOnly = mounted("ro")
    const full = mounted("size=4k")
    if (readOnly === undefined || full === undefined) return test.skip(cannotMount)
    assert.match((await check(readOnly))?.message ?? "", /EROFS.*mount it for writing/)
    writeFileSync(join(full, "ballast"), Buffer.alloc(4096))
    const problem = await check(full)
    assert.match(problem?.message ?? "", /ENOSPC.*no space for a single byte/)
    assert.isTrue(problem?.isFull)
  })

  it("fails for another user, of the directory or of what is in it", (test) => {
    if (process.getuid?.() !== 0) return test.skip("only root can become another user")
    const directory = temporaryDirectory()
    const script = `
      const { checkWritable } = await import(${JSON.stringify(new URL("../../src/storage/disk/WriteCheck.ts", import.meta.url).href)})
      const { storagePaths } = await import(${JSON.stringify(new URL("../../src/storage/disk/StorageDir.ts", import.meta.url).href)})
      const path = ${JSON.stringify(directory)}
      const problem = await checkWritable([{ variable: "ELECTRIC_STORAGE_DIR", path }], storagePaths(path, "default"))
      console.log(problem?.message ?? "fine")`
    const asNobody = () =>
      spawnSync(process.execPath, ["--input-type=module", "-e", script], {
        uid: 65534,
        gid: 65534,
        cwd: "/",
        encoding: "utf8"
      })
    chmodSync(directory, 0o755)
    const refused = asNobody()
    if (/EACCES|Cannot find/.test(refused.stderr ?? "") || refused.error !== undefined)
      return test.skip("another user cannot read this source")
    assert.match(refused.stdout, /cannot be written by uid 65534: EACCES.*; chown it, or set fsGroup/)
    chmodSync(directory, 0o777)
    assert.match(asNobody().stdout, /^fine/)
    mkdirSync(storagePaths(directory, "default").journal, { recursive: true, mode: 0o755 })
    assert.match(asNobody().stdout, /EACCES at .*; chown it/)
  })
})

describe("what is made in the storage directory", () => {
  it("is for its own user only, whatever the umask says; what was there is left alone", async () => {
    const directory = temporaryDirectory()
    chmodSync(directory, 0o755)
    const umask = process.umask(0)
    const engine = engineAt(directory)
    try {
      await engine.takeOver()
      createShape(engine, "a")
      await engine.writer?.durable()
    } finally {
      process.umask(umask)
      await engine.close()
    }
    assert.strictEqual(statSync(directory).mode & 0o777, 0o755)
    const made = readdirSync(directory, { recursive: true, withFileTypes: true })
    assert.isAbove(made.length, 5)
    for (const entry of made) {
      const path = join(entry.parentPath, entry.name)
      assert.strictEqual(
        statSync(path).mode & 0o777,
        entry.isDirectory() ? 0o700 : 0o600,
        `${path} in ${dirname(path)}`
      )
    }
  })
})
