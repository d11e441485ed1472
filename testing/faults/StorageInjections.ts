import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { freePort } from "../../src/dev/FreePort.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { readLevelRecord, writeLevelRecord } from "../../src/storage/levels/LevelFile.ts"
import { startFakeS3 } from "../bucket/FakeS3.ts"
import { eventually } from "../Eventually.ts"
import { askShape, type FaultScene } from "./FaultScene.ts"
import type { Injection } from "./Injection.ts"

const table = "CREATE TABLE t (id int PRIMARY KEY, v text)"

const bucketOf = async (scene: FaultScene) => {
  const s3 = await startFakeS3()
  scene.atEnd(() => s3.close())
  return { s3, env: s3.environment(scene.name) }
}

/** All files below a directory. */
const filesBelow = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))

const mayMount = (): boolean => {
  const directory = "/tmp/baton-may-mount"
  mkdirSync(directory, { recursive: true })
  const may = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]).status === 0
  if (may) spawnSync("umount", ["-l", directory])
  return may
}

const fill = (file: string): void => {
  for (const bytes of [1 << 20, 4096])
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: "a" })
    } catch {
      // Full, as far as pieces of this size go.
    }
}

export const storageInjections: ReadonlyArray<Injection> = [
  {
    name: "the storage directory is a file",
    code: "BATON-STORAGE-UNUSABLE",
    isQuick: true,
    inject: (scene) => {
      const file = path.join(scene.directory, "file")
      writeFileSync(file, "")
      return scene.start({ storageDir: path.join(file, "storage"), until: false })
    }
  },
  {
    name: "storage was finalised by a newer release",
    code: "BATON-STORAGE-NEWER",
    inject: async (scene) => {
      const storageDir = path.join(scene.directory, "storage")
      const first = await scene.start()
      await first.service.untilLogged(/Storage is finalised/)
      await first.service.stop()
      const paths = storagePaths(storageDir, scene.name)
      const known = await readLevelRecord(paths)
      if (known === undefined) throw new Error("storage says nothing of its level")
      await writeLevelRecord(paths, { ...known, level: 9, raisedBy: "9.9.9" })
      return scene.start({ until: false })
    }
  },
  {
    name: "the storage directory is removed",
    code: "BATON-STORAGE-GONE",
    inject: async (scene) => {
      await scene.query(table)
      const watched = await scene.start()
      await askShape(watched, { table: "t" })
      rmSync(path.join(scene.directory, "storage"), { recursive: true, force: true })
      await scene.query("INSERT INTO t VALUES (1)")
      return watched
    }
  },
  {
    name: "the disk of the storage directory is full",
    code: "BATON-STORAGE-WRITE",
    isPossible: mayMount,
    inject: async (scene) => {
      const storageDir = path.join(scene.directory, "small")
      mkdirSync(storageDir)
      spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", storageDir])
      scene.atEnd(() => spawnSync("umount", ["-l", storageDir]))
      await scene.query(table)
      const watched = await scene.start({ storageDir })
      await askShape(watched, { table: "t" })
      fill(path.join(storageDir, "filler"))
      await scene.query("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 2000) i")
      return watched
    }
  },
  {
    name: "the checkpoint is damaged",
    code: "BATON-STORAGE-DAMAGED",
    inject: async (scene) => {
      await scene.query(table)
      const env = { BATON_JOURNAL_SEGMENT_BYTES: "1MiB" }
      const first = await scene.start({ env })
      await askShape(first, { table: "t" })
      const checkpoints = () =>
        filesBelow(path.join(scene.directory, "storage")).filter((file) =>
          /meta-[0-9a-f]+\.sqlite$/.test(file)
        )
      await eventually("a checkpoint", async () => {
        await scene.query(
          "INSERT INTO t SELECT (random() * 1e9)::int, repeat('x', 1000) FROM generate_series(1, 2000) ON CONFLICT DO NOTHING"
        )
        return checkpoints().length > 0
      })
      await first.service.stop("SIGKILL")
      for (const file of checkpoints()) {
        const bytes = readFileSync(file)
        writeFileSync(file, bytes.fill(0x55, 0, Math.min(bytes.length, 8192)))
      }
      return scene.start({ env })
    }
  },
  {
    name: "an HTTP worker is killed",
    code: "BATON-WORKER-ENDED",
    inject: async (scene) => {
      const watched = await scene.start({ env: { BATON_HTTP_WORKERS: "1" } })
      const [, pid] = await watched.service.untilLogged(/HTTP worker 1 answers requests \(process (\d+)\)/)
      process.kill(Number(pid), "SIGKILL")
      return watched
    }
  },
  {
    name: "the bucket is away at the start",
    code: "BATON-BUCKET-START",
    inject: async (scene) => {
      const { env, s3 } = await bucketOf(scene)
      await s3.close()
      return scene.start({ env, until: false })
    }
  },
  {
    name: "the bucket takes nothing any more",
    code: "BATON-BUCKET-WRITE",
    inject: async (scene) => {
      await scene.query(table)
      const { env, s3 } = await bucketOf(scene)
      const watched = await scene.start({ env })
      await askShape(watched, { table: "t" })
      s3.faults.add({ _tag: "Refuse", kind: "unreachable" })
      await scene.query("INSERT INTO t VALUES (1)")
      return watched
    }
  },
  {
    name: "other instances cannot be told where this one is",
    code: "BATON-BUCKET-ADDRESS",
    inject: async (scene) => {
      const { env } = await bucketOf(scene)
      const watched = await scene.start({ env: { ...env, ELECTRIC_PORT: "0" }, until: false })
      return watched
    }
  },
  {
    name: "an instance that follows is given another secret",
    code: "BATON-TAIL-FAILED",
    inject: async (scene) => {
      await scene.query(table)
      const { env } = await bucketOf(scene)
      const tail = async (storage: string, secret: string, until: "active" | "waiting") => {
        const port = await freePort()
        return scene.start({
          port,
          until,
          storageDir: path.join(scene.directory, storage),
          env: { ...env, BATON_ADVERTISE_URL: `http://127.0.0.1:${port}`, BATON_TAIL_SECRET: secret }
        })
      }
      const first = await tail("one", "a secret of one", "active")
      await askShape(first, { table: "t" })
      const second = await tail("two", "a secret of two", "waiting")
      await scene.query("INSERT INTO t VALUES (1)")
      return second
    }
  }
]
