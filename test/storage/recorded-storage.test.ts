import { cpSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { identityHash } from "../../src/shapes/Handle.ts"
import { beforeAll as beforeAny } from "../../src/shapes/LogOffset.ts"
import { shapeIdentity } from "../../src/shapes/ShapeDefinition.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { digestOf } from "../../src/storage/state/IdentityDigest.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { makeRunnable } from "../../src/where/index.ts"
import { journalContents } from "../../testing/releases/JournalContents.ts"
import {
  recordedReleases,
  type Stage,
  type Unpacked,
  unpackRecording
} from "../../testing/releases/Recording.ts"
import { changes, openEngine, readAll, temporaryDirectory, writeTransaction } from "./support.ts"

/** What the journal of format 2 consists of. */
const kinds = [
  "epoch, segment, source, slotLost, created, createdLike, visible, chunk, complete, dropped, purged, moved, position",
  "passed, inlineChunk, transaction, part, last part, part without an end"
].flatMap((names) => names.split(", "))

const readIn = async (directory: string): Promise<StorageEngine> => {
  const said: Array<string> = []
  const engine = await openEngine(directory, { said, chunkBytesThreshold: 4000 })
  await engine.proved()
  assert.deepStrictEqual(said, [])
  return engine
}

describe.each(recordedReleases)("what release %s has stored", (version) => {
  let unpacked: Unpacked
  beforeAll(async () => {
    unpacked = await unpackRecording(version)
  })
  afterAll(() => unpacked[Symbol.dispose]())

  const pathsOf = (directory: string) => storagePaths(directory, unpacked.recording.streamId)

  const copyOf = (stage: Stage): string => {
    const directory = temporaryDirectory()
    cpSync(
      path.join(unpacked.storageOf(stage), unpacked.recording.streamId),
      path.join(directory, "default"),
      {
        recursive: true
      }
    )
    return directory
  }

  it("has every kind of record, and this release knows them all", () => {
    const seen = new Set<string>()
    for (const stage of unpacked.recording.stages) {
      const now = journalContents(pathsOf(unpacked.storageOf(stage)).journal)
      assert.deepStrictEqual(now, stage.records, stage.name)
      for (const kind of Object.keys(now)) seen.add(kind)
    }
    assert.sameMembers([...seen], kinds)
  })

  it("is read without a complaint: the same shapes under the same handles, and conditions that run", async () => {
    for (const stage of unpacked.recording.stages) {
      const { store } = await readIn(copyOf(stage))
      const handles = new Set<string>()
      for (const shape of store.all()) {
        handles.add(shape.handle)
        const { definition } = shape
        const identity = shapeIdentity(definition)
        assert.strictEqual(shape.identity, digestOf(identity))
        assert.strictEqual(shape.handle.split("-")[0], String(identityHash(identity)), identity)
        if (definition.where !== undefined) makeRunnable(definition.where, definition.tableColumns)
      }
      for (const { headers } of stage.answers) assert.include(handles, headers["electric-handle"] ?? "")
      for (const [handle, digest] of Object.entries(stage.identities)) {
        // The journal behind the checkpoint may have dropped it since.
        if (handles.has(handle)) assert.strictEqual(store.byHandle(handle)?.identity, digest)
      }
    }
  })

  it("is gone on with: what is written behind it is read together with it", async () => {
    for (const stage of unpacked.recording.stages) {
      const directory = copyOf(stage)
      const engine = await readIn(directory)
      const shapes = [...engine.store.all()].filter(({ snapshotComplete }) => snapshotComplete)
      const known = await Promise.all(shapes.map((shape) => readAll(engine, shape, beforeAny)))
      assert.isDefined(await engine.takeOver())
      const lsn = engine.store.lastCommitLsn + 1000n
      writeTransaction(engine, lsn, [{ op: 0, ids: shapes.map(({ id }) => id) }], 2 ** 31 - 1)
      await engine.writer?.durable()
      await engine.close()

      const again = await readIn(directory)
      for (const [i, { handle }] of shapes.entries()) {
        const shape = again.store.byHandle(handle) ?? assert.fail(`${handle} is gone`)
        const { messages } = await readAll(again, shape, beforeAny)
        const { messages: before } = known[i] ?? assert.fail()
        assert.deepStrictEqual(messages.slice(0, before.length), before)
        assert.deepStrictEqual(changes({ messages: messages.slice(before.length), offsets: [] }), [
          `${lsn}_0!`
        ])
      }
    }
  })
})
