import { cpSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { afterEach } from "vitest"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { rowOf } from "../../src/storage/checkpoint/CheckpointRow.ts"
import { loadCheckpoint } from "../../src/storage/checkpoint/CheckpointReader.ts"
import type { CheckpointHead } from "../../src/storage/checkpoint/CheckpointFile.ts"
import { openCheckpointWriter } from "../../src/storage/checkpoint/CheckpointWriter.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { levelOfPages } from "../../src/storage/levels/Levels.ts"
import { metaFile, storagePaths, type StoragePaths } from "../../src/storage/disk/StorageDir.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { definitionOf, engineAt, recordingLogger, temporaryDirectory } from "./support.ts"
import { mkdir } from "node:fs/promises"
import { decodeSource } from "../../src/storage/records/StoredSource.ts"

const scopes: Array<Scope.Closeable> = []

afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void))
})

const place = async (): Promise<StoragePaths> => {
  const directory = temporaryDirectory()
  const paths = storagePaths(directory, "default")
  await mkdir(paths.meta, { recursive: true })
  return paths
}

const freshStore = (): ShapeStore => new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1 << 20 })

/** Below this level each shape has a row, from it on they stand in pages. */
const forms = [
  { name: "with a row for each shape", level: levelOfPages - 1 },
  { name: "with shapes in pages", level: levelOfPages }
]

/** What is done to the file, and which of the shapes of the tables `a`, `b` and `c` are left. */
type Damage = readonly [damage: (db: DatabaseSync) => void, left: ReadonlyArray<string>]

const sql = (text: string) => (db: DatabaseSync) => db.exec(text)

const ofDefinitions: ReadonlyArray<Damage> = [
  [sql("UPDATE definitions SET json = replace(json, 'b', 'd') WHERE id = 2"), ["a", "c"]],
  [sql("DELETE FROM definitions WHERE id = 1"), ["b", "c"]]
]

const ofRows: ReadonlyArray<Damage> = [
  [sql('UPDATE shapes SET files = \'[{"endTx":"1x"}]\' WHERE id = 2'), ["a", "c"]],
  [sql("UPDATE shapes SET handle = '2-1003' WHERE id = 2"), ["a", "c"]],
  [sql("UPDATE shapes SET handle = x'00' WHERE id = 2"), ["a", "c"]],
  [sql("UPDATE shapes SET id = 9 WHERE id = 2"), ["a", "c"]],
  [sql("DELETE FROM shapes WHERE id = 3"), ["a", "b"]]
]

const inPage = (change: (body: Buffer) => Uint8Array) => (db: DatabaseSync) => {
  const { body } = db.prepare("SELECT body FROM pages").get() as { readonly body: Uint8Array }
  db.prepare("UPDATE pages SET body = ?").run(change(Buffer.from(body)))
}
const replaced = (from: string, to: string) =>
  inPage((body) => {
    body.write(to, body.indexOf(from), "latin1")
    return body
  })

/** Shape 1 stands there as text, behind it the record of shape 2, and then shape 3 as text. */
const ofPages: ReadonlyArray<Damage> = [
  [replaced("1-1001", "1-1009"), ["b", "c"]],
  [replaced("10 12 11", "10 12 19"), ["a", "c"]],
  [sql("UPDATE pages SET crc = 5"), ["a", "b", "c"]],
  [sql("UPDATE pages SET key = 5"), ["a", "b", "c"]],
  // A text that is said to be a record, and a record that is said to be a text.
  [inPage((body) => body.fill((body[3] ?? 0) ^ 0x80, 3, 4)), ["b", "c"]],
  [
    inPage((body) => {
      const second = 8 + (body.readUInt32LE(0) & 0x7fffffff)
      return body.fill((body[second + 3] ?? 0) ^ 0x80, second + 3, second + 4)
    }),
    ["a", "c"]
  ],
  // From where it cannot be told where others begin they are lost as well.
  [inPage((body) => body.fill(0x7f, 0, 4)), []],
  [inPage((body) => body.subarray(0, -1)), ["a", "b"]],
  [sql("UPDATE pages SET body = 'no bytes'"), []],
  [sql("DELETE FROM pages"), []]
]

const headAt = (level: number): CheckpointHead => ({
  level,
  epoch: 3,
  segment: 7,
  nextId: 50,
  lastCommitLsn: "18446744073709551000",
  positionLsn: "18446744073709551001",
  source: {
    systemId: "7000000000000000001",
    timeline: 2,
    slot: "electric_slot_default (shifted)",
    shift: "1099511627776"
  }
})

const writerOf = (paths: StoragePaths, epoch: number) => {
  const scope = Scope.makeUnsafe()
  scopes.push(scope)
  return Effect.runPromise(
    Scope.provide(openCheckpointWriter(paths, epoch, { synchronous: "OFF", cacheBytes: 1 << 20 }), scope)
  )
}

const counts = () => Promise.resolve(true)

const fill = (store: ShapeStore, ...names: ReadonlyArray<string>): void => {
  for (const name of names) {
    const id = store.nextId
    const shape = store.create(id, `${id}-${1000 + id}`, definitionOf(name), 1000 + id)
    if (id % 2 === 1) continue
    shape.setVisibility({ xmin: "10", xmax: "12", xipList: ["11"] })
    shape.snapshotComplete = true
  }
}

const written = async (
  paths: StoragePaths,
  { level }: { readonly level: number },
  epoch: number,
  ...names: ReadonlyArray<string>
) => {
  const store = freshStore()
  fill(store, ...names)
  const writer = await writerOf(paths, epoch)
  assert.isTrue(await Effect.runPromise(writer.write(store, { ...headAt(level), epoch }, counts)))
  return { store, writer }
}

const load = async (paths: StoragePaths, said: Array<string> = []) => {
  const store = freshStore()
  const loaded = await Effect.runPromise(
    loadCheckpoint(
      paths,
      store,
      1 << 20,
      (line) => void Effect.runPromise(Effect.provide(line, recordingLogger(said)))
    )
  )
  return {
    store,
    head: loaded,
    tables: [...store.all()].map((shape) => shape.definition.table.name).toSorted()
  }
}

describe.each(forms)("checkpoint $name", (form) => {
  const head = headAt(form.level)

  it("that is damaged is complained of in the log of the service that loads it", async () => {
    const paths = await place()
    await written(paths, form, 3, "a")
    for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void))
    truncateSync(metaFile(paths, 3), 100)
    const said: Array<string> = []
    const engine = engineAt(dirname(dirname(paths.root)), { said })
    await engine.load()
    await engine.close()
    assert.match(said.join("\n"), /Cannot read the checkpoint .*An older checkpoint, or the journal alone/)
  })

  it("gives back everything that it was told", async () => {
    const paths = await place()
    const store = freshStore()
    fill(store, "plain", "rich")
    const rich = store.get(2) ?? assert.fail("not there")
    rich.lastUsedMillis = 77
    rich.setVisibility({
      xmin: "4294967290",
      xmax: "4294967300",
      xipList: ["4294967295", "4294967297"],
      containedBefore: String(2n ** 63n + 5n)
    })
    rich.snapshotChunks = [
      { _tag: "File", bytes: 10, crc: 11 },
      { _tag: "File", bytes: 20, crc: 22 }
    ]
    rich.snapshotComplete = true
    rich.files = [
      {
        index: 0,
        bytes: 100,
        crc: 5,
        indexCrc: 6,
        entries: 3,
        entryBytes: 90,
        endTx: "18446744073709550000",
        endOp: 4,
        closed: true
      }
    ]
    const where: ShapeDefinition = {
      ...definitionOf("where"),
      where: { sql: "id > 1", ast: { made: ["up", 1] } } as never
    }
    store.create(3, "3-1003", where, 1003)
    const writer = await writerOf(paths, 3)
    await Effect.runPromise(writer.write(store, head, counts))
    const read = await load(paths)
    assert.deepStrictEqual(read.head, head)
    assert.strictEqual(read.store.nextId, 50)
    assert.strictEqual(read.store.lastCommitLsn, BigInt(head.lastCommitLsn))
    assert.strictEqual(read.store.positionLsn, BigInt(head.positionLsn))
    assert.deepStrictEqual(read.store.source, head.source === null ? undefined : decodeSource(head.source))
    assert.strictEqual(read.store.shift, 1n << 40n)
    for (const shape of store.all()) {
      const found = read.store.byHandle(shape.handle) ?? assert.fail(`${shape.handle} is lost`)
      for (const key of [
        "id",
        "definition",
        "identity",
        "createdAtMillis",
        "lastUsedMillis",
        "visibility",
        "snapshotChunks",
        "snapshotComplete",
        "files"
      ] as const)
        assert.deepStrictEqual(found[key], shape[key], `${shape.handle} ${key}`)
      assert.strictEqual(read.store.byIdentity(shape.identity), found)
    }
    const reread = read.store.byHandle(rich.handle)
    assert.deepStrictEqual(reread?.end, { tx: 18446744073709550000n, op: 4 })
  })

  it("says nothing of chunks that stand in the journal, nor of those behind them", () => {
    const store = freshStore()
    fill(store, "a")
    const shape = store.get(1) ?? assert.fail("not there")
    shape.snapshotChunks = [
      { _tag: "File", bytes: 10, crc: 11 },
      { _tag: "Journal", segment: 1, position: 2, bytes: 20 },
      { _tag: "File", bytes: 30, crc: 33 }
    ]
    assert.deepInclude(rowOf(shape, shape.definition, 4), { definition: 4, chunks: "[[10,11]]", complete: 0 })
  })

  it("a later one of the same epoch adds what has changed and removes what is gone", async () => {
    const paths = await place()
    const { store, writer } = await written(paths, form, 1, "a", "b", "c")
    store.drop(2, "asked for")
    fill(store, "d")
    const a = store.get(1) ?? assert.fail("not there")
    a.snapshotComplete = true
    a.dirty = true
    await Effect.runPromise(writer.write(store, { ...head, segment: 8 }, counts))
    const read = await load(paths)
    assert.deepStrictEqual(read.tables, ["a", "c", "d"])
    assert.isTrue(read.store.get(1)?.snapshotComplete)
    assert.strictEqual(read.head?.segment, 8)
  })

  it("one that does not come into force leaves the one before as it is, and the next one is whole", async () => {
    const paths = await place()
    const { store, writer } = await written(paths, form, 1, "a")
    fill(store, "b")
    assert.isFalse(await Effect.runPromise(writer.write(store, head, () => Promise.resolve(false))))
    assert.deepStrictEqual((await load(paths)).tables, ["a"])
    await Effect.runPromise(writer.write(store, head, counts))
    assert.deepStrictEqual((await load(paths)).tables, ["a", "b"])
  })

  it("the newest whole one counts, and takes the place of those before", async () => {
    const paths = await place()
    await written(paths, form, 1, "old")
    await written(paths, form, 2, "new")
    assert.deepStrictEqual(readdirSync(paths.meta), ["meta-00000002.sqlite", "names-00000002"])
    assert.deepStrictEqual((await load(paths)).tables, ["new"])
  })

  it("damaged ones are passed over for the one before, or for none", async () => {
    const damages: ReadonlyArray<(path: string) => void> = [
      (path) => truncateSync(path, 0),
      (path) => truncateSync(path, 5000),
      (path) =>
        writeFileSync(
          path,
          "this is not a database, but longer than the header of one would have to be ".repeat(9)
        ),
      (path) => {
        const bytes = readFileSync(path)
        bytes.fill(0x5a, 100, 4096)
        writeFileSync(path, bytes)
      },
      (path) => new DatabaseSync(path).exec("DELETE FROM head"),
      (path) => new DatabaseSync(path).exec("UPDATE head SET value = replace(value, '7', '8')")
    ]
    for (const [i, damage] of damages.entries()) {
      const paths = await place()
      await written(paths, form, 1, "old")
      cpSync(metaFile(paths, 1), join(paths.meta, "keep"))
      await written(paths, form, 2, "new")
      cpSync(join(paths.meta, "keep"), metaFile(paths, 1))
      damage(metaFile(paths, 2))
      assert.deepStrictEqual((await load(paths)).tables, ["old"], `damage ${i}`)
      damage(metaFile(paths, 1))
      const none = await load(paths)
      assert.isUndefined(none.head, `damage ${i}`)
      assert.strictEqual(none.store.count, 0, `damage ${i}`)
    }
  })

  it("what is damaged costs its shapes, which are named", async () => {
    const damages = form.level < levelOfPages ? ofRows : ofPages
    for (const [i, [damage, left]] of [...ofDefinitions, ...damages].entries()) {
      const paths = await place()
      await written(paths, form, 1, "a", "b", "c")
      damage(new DatabaseSync(metaFile(paths, 1)))
      const said: Array<string> = []
      const read = await load(paths, said)
      assert.deepStrictEqual(read.tables, left, `damage ${i}`)
      assert.deepStrictEqual(read.head, { ...head, epoch: 1 })
      // Where none is lost, nobody has to be told.
      assert.strictEqual(said.length, left.length === 3 ? 0 : 1, `damage ${i}`)
      if (left.length < 3)
        assert.match(
          said[0] ?? "",
          /Damaged: [0-9a-f-]|[123] more cannot be found: [123]-[0-9]+/,
          `damage ${i}`
        )
    }
  })

  it("without a head is damaged, and said to be", async () => {
    const paths = await place()
    await written(paths, form, 1, "a")
    new DatabaseSync(metaFile(paths, 1)).exec("DELETE FROM head")
    const said: Array<string> = []
    const read = await load(paths, said)
    assert.strictEqual(read.store.count, 0)
    assert.match(
      said.join(),
      /its head is missing\. An older checkpoint, or the journal alone, is used instead/
    )
  })

  it("a flipped bit never gives a shape that was not written", async () => {
    const seed = Number(process.env["CHECKPOINT_SEED"] ?? freshSeed())
    const random = makeRandom(seed)
    const paths = await place()
    const names = Array.from({ length: 30 }, (_, i) => `table${i}`)
    const { store } = await written(paths, form, 1, ...names)
    const path = metaFile(paths, 1)
    const whole = readFileSync(path)
    let losses = 0
    for (let i = 0; i < 150; i++) {
      const bytes = Buffer.from(whole)
      const at = random.int(0, bytes.length - 1)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7))
      writeFileSync(path, bytes)
      const said: Array<string> = []
      const read = await load(paths, said)
      for (const shape of read.store.all()) {
        const original = store.byHandle(shape.handle) ?? assert.fail(`with seed ${seed}: ${shape.handle}`)
        for (const key of ["id", "definition", "identity", "createdAtMillis", "files"] as const)
          assert.deepStrictEqual(shape[key], original[key], `with seed ${seed}`)
      }
      if (read.store.count < names.length) {
        losses++
        assert.isAbove(said.length, 0, `with seed ${seed}: byte ${at}`)
      }
    }
    assert.isAbove(losses, 0, `with seed ${seed}`)
  })

  it("a page that points to one row twice does not hide that another one is missing", async () => {
    const paths = await place()
    const names = Array.from({ length: 30 }, (_, i) => `table${i}`)
    await written(paths, form, 1, ...names)
    const path = metaFile(paths, 1)
    const whole = readFileSync(path)
    const pageBytes = whole.readUInt16BE(16)
    let losses = 0
    for (let page = pageBytes; page < whole.length; page += pageBytes) {
      // A leaf of a table: its type, how many cells, then from byte 8 on where each begins ("Database File Format", 1.6).
      if (whole[page] !== 0x0d || whole.readUInt16BE(page + 3) < 2) continue
      const bytes = Buffer.from(whole)
      bytes.copyWithin(page + 8, page + 10, page + 12)
      writeFileSync(path, bytes)
      const said: Array<string> = []
      const read = await load(paths, said)
      const missing = names.length - read.store.count
      losses += missing
      if (missing > 0) assert.match(said.join(), /is damaged, and shapes are lost with it/)
    }
    assert.isAbove(losses, 0)
  })

  it("a writer that was killed in the middle of a checkpoint leaves the one before", async () => {
    const paths = await place()
    await written(paths, form, 1, "kept")
    const path = metaFile(paths, 1)
    const dying = new DatabaseSync(path)
    // A cache this small makes SQLite write into the file before it commits.
    dying.exec("PRAGMA cache_size = 5; BEGIN IMMEDIATE; DELETE FROM shapes; DELETE FROM head")
    const insert = dying.prepare("INSERT INTO definitions VALUES (?, ?, 0)")
    for (let i = 100; i < 2000; i++) insert.run(i, "x".repeat(500))
    const left = await place()
    cpSync(paths.meta, left.meta, { recursive: true })
    dying.close()
    assert.isAbove(readdirSync(left.meta).length, 1, "there is no half of a transaction to take back")
    const before = readdirSync(left.meta)
    assert.deepStrictEqual((await load(left)).tables, ["kept"])
    assert.deepStrictEqual(readdirSync(left.meta), before, "a reader writes nothing")
  })

  it("one that is being written is waited for", async () => {
    const paths = await place()
    await written(paths, form, 1, "a")
    const writing = new DatabaseSync(metaFile(paths, 1))
    writing.exec("BEGIN EXCLUSIVE")
    const loading = load(paths)
    const first = await Promise.race([
      loading,
      new Promise((resolve) => setTimeout(() => resolve("waits"), 120))
    ])
    assert.strictEqual(first, "waits")
    writing.exec("COMMIT")
    writing.close()
    assert.deepStrictEqual((await loading).tables, ["a"])
  })
})
