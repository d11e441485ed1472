import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import { RealDisk } from "../../../src/storage/disk/RealDisk.ts"
import { storagePaths, type StoragePaths } from "../../../src/storage/disk/StorageDir.ts"
import { takeMirrorDirectory } from "../../../src/storage/mirror/MirrorDirectory.ts"
import { temporaryDirectory } from "../support.ts"

const placeIn = (storageDir: string, removeOnClose = false) => ({
  storageDir,
  streamId: "default",
  metaDir: undefined,
  disk: new RealDisk(),
  removeOnClose
})

const module = new URL("../../../src/storage/mirror/MirrorDirectory.ts", import.meta.url).href
const diskModule = new URL("../../../src/storage/disk/RealDisk.ts", import.meta.url).href

/** A process that takes a directory, says which, and keeps it. */
const script = (storageDir: string) => `
  import { Effect } from "effect"
  import { takeMirrorDirectory } from ${JSON.stringify(module)}
  import { RealDisk } from ${JSON.stringify(diskModule)}
  await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
    const paths = yield* takeMirrorDirectory({
      storageDir: ${JSON.stringify(storageDir)}, streamId: "default", metaDir: undefined, disk: new RealDisk(), removeOnClose: false
    })
    process.stdout.write(paths.mirror + "\\n")
    setInterval(() => {}, 1000)
    yield* Effect.never
  })))`

const inDirectory = async (use: (directory: string) => Promise<void>): Promise<void> => {
  const directory = temporaryDirectory()
  try {
    await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Takes one for as long as `use` runs. */
const taken = (directory: string, use: (paths: StoragePaths) => Promise<void>): Promise<void> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(takeMirrorDirectory(placeIn(directory)), (paths) => Effect.promise(() => use(paths)))
    )
  )

describe("the directory of a process of its own", () => {
  it("is the first that nobody has, and free again when its scope closes", () =>
    inDirectory(async (directory) => {
      await taken(directory, async (first) => {
        assert.strictEqual(first.root, join(directory, "default", "mirror-0", "v2"))
        await taken(directory, async (second) => {
          assert.strictEqual(second.mirror, "mirror-1")
          await taken(directory, async (third) => assert.strictEqual(third.mirror, "mirror-2"))
          await taken(directory, async (third) => assert.strictEqual(third.mirror, "mirror-2"))
        })
      })
      await taken(directory, async (first) => assert.strictEqual(first.mirror, "mirror-0"))
    }))

  it("is wiped at the start, but for the files of shapes", () =>
    inDirectory(async (directory) => {
      const { root, journal, shapes } = storagePaths(
        directory,
        "default",
        undefined,
        new RealDisk(),
        "mirror-0"
      )
      mkdirSync(journal, { recursive: true })
      mkdirSync(join(shapes, "1-1"), { recursive: true })
      writeFileSync(join(journal, "00000001-00000001"), "old")
      writeFileSync(join(shapes, "1-1", "s0"), "cached")
      for (const name of ["meta-00000001.sqlite", "names-00000001", "tables.json.gz", "level.json"])
        writeFileSync(join(root, name), "old")
      await taken(directory, async (paths) => {
        assert.sameMembers(readdirSync(paths.root), ["epochs", "journal", "shapes"])
        assert.deepStrictEqual(readdirSync(paths.journal), [])
        assert.deepStrictEqual(readdirSync(join(paths.shapes, "1-1")), ["s0"])
      })
    }))

  it("is another process' until that one dies, killed at that", () =>
    inDirectory(async (directory) => {
      const other = spawn(process.execPath, ["--input-type=module", "-e", script(directory)], {
        cwd: new URL("../../../", import.meta.url),
        stdio: ["ignore", "pipe", "inherit"]
      })
      const exited = once(other, "exit")
      try {
        const [said] = (await once(other.stdout, "data")) as [Buffer]
        assert.strictEqual(said.toString(), "mirror-0\n")
        await taken(directory, async (paths) => assert.strictEqual(paths.mirror, "mirror-1"))
        other.kill("SIGKILL")
        await exited
        await taken(directory, async (paths) => assert.strictEqual(paths.mirror, "mirror-0"))
      } finally {
        other.kill("SIGKILL")
        await exited
      }
    }))

  it("goes with the process where storage is in memory", () =>
    inDirectory(async (directory) => {
      const storageDir = join(directory, "in-memory")
      const scope = await Effect.runPromise(Scope.make())
      const paths = await Effect.runPromise(
        Effect.provideService(takeMirrorDirectory(placeIn(storageDir, true)), Scope.Scope, scope)
      )
      assert.isTrue(existsSync(paths.journal))
      await Effect.runPromise(Scope.close(scope, Exit.void))
      assert.isFalse(existsSync(storageDir))
    }))

  it("cannot be had where files cannot be made, and says so", () =>
    inDirectory(async (directory) => {
      writeFileSync(join(directory, "default"), "no directory")
      const failure = await Effect.runPromise(
        Effect.flip(Effect.scoped(takeMirrorDirectory(placeIn(directory))))
      )
      assert.strictEqual(failure._tag, "DiskFault")
      assert.include(failure.message, join(directory, "default"))
      // A lock that cannot be taken for another reason than that somebody has it is no reason to look further.
      rmSync(join(directory, "default"))
      mkdirSync(join(directory, "default", "mirror-0", "owner.sqlite"), { recursive: true })
      const locked = await Effect.runPromise(
        Effect.flip(Effect.scoped(takeMirrorDirectory(placeIn(directory))))
      )
      assert.include(locked.message, "owner.sqlite: unable to open database file")
    }))
})
