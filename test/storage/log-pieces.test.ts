import { diskFault } from "../../src/storage/disk/DiskFault.ts"
import { assert, describe, it } from "vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { FileIntegrity } from "../../src/storage/disk/FileIntegrity.ts"
import { pieceBytes } from "../../src/storage/logs/FilePieces.ts"
import { Lending } from "../../src/storage/logs/Lending.ts"
import { logPieces } from "../../src/storage/logs/ReadPieces.ts"
import { ReadFailures } from "../../src/storage/logs/ReadFailures.ts"
import { ShapeState } from "../../src/storage/state/ShapeState.ts"
import { ShapeTail } from "../../src/storage/state/ShapeTail.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { Random } from "../where/support/random.ts"
import { definitionOf } from "./support.ts"

const segments = 3

const system = (code: string) => diskFault("open", "/nowhere", { code })

/** A journal of random entries, in whatever order they stand there, and a source that has some of it in memory. */
const randomLog = (random: Random, isLasting: boolean) => {
  const content = Array.from({ length: segments }, () => Buffer.alloc(3 << 20, "."))
  const used = content.map(() => 0)
  const tail = new ShapeTail()
  let segment = 0
  const expected: Array<string> = []
  for (let tx = 1; segment < segments && tx < 40; tx++) {
    const entries = Array.from({ length: 1 + random.below(6) }, (_, op) => {
      const size = random.pick([0, 10, 300, 20_000, 70_000, 300_000])
      return { op, text: `{"headers":{"tx":${tx},"op":${op},"v":"${"x".repeat(random.below(size + 1))}"}}` }
    })
    const total = entries.reduce((sum, { text }) => sum + text.length + 20, 0)
    if ((used[segment] ?? 0) + total > 3 << 20) {
      segment++
      continue
    }
    const positions = new Map<number, number>()
    for (const { op, text } of entries.toSorted(() => random.next() - 0.5)) {
      const position = (used[segment] ?? 0) + random.below(20)
      content[segment]?.write(text, position, "latin1")
      positions.set(op, position)
      used[segment] = position + text.length
    }
    for (const { op, text } of entries) {
      assert.isTrue(tail.push(0, tx, op, segment, positions.get(op) ?? 0, text.length))
      const isLast = op === entries.length - 1
      if (isLast) tail.markLast(tail.count - 1)
      expected.push(isLast ? `${text.slice(0, -2)},"last":true}}` : text)
    }
  }
  let reads = 0
  const source = {
    paths: storagePaths("/nowhere", "default"),
    integrity: new FileIntegrity({
      mayBeLate: false,
      open: () => Promise.reject(new Error("there are no files"))
    }),
    memory: (of: number, position: number, length: number) =>
      random.chance(0.5) ? content[of]?.subarray(position, position + length) : undefined,
    lending: new Lending(() => isLasting),
    readSegment: (of: number, position: number, into: Buffer) => {
      reads++
      content[of]?.copy(into, 0, position, position + into.length)
      return Promise.resolve(true)
    }
  }
  return { tail, expected: expected.join(","), source, content, reads: () => reads }
}

const planOf = (count: number) =>
  ({
    _tag: "Log",
    after: snapshotEnd,
    next: snapshotEnd,
    upToDate: true,
    file: undefined,
    from: 0,
    to: count
  }) as const

describe("the pieces of a log", () => {
  it("lie in the reader's buffer or in memory that never changes, in whatever order the entries stand in the journal", async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const random = new Random(seed)
    for (let run = 0; run < 30; run++) {
      const isLasting = random.chance(0.5)
      const { content, expected, source, tail } = randomLog(random, isLasting)
      const shape = ShapeState.made(1, "1-1", definitionOf("t"), "i", 0)
      shape.tail = tail
      const plan = planOf(tail.count)
      const room = random.pick([undefined, 4096, 16 * 1024, 256 * 1024])
      const buffer = room === undefined ? undefined : Buffer.alloc(room)
      let read = ""
      for await (const piece of logPieces(source, shape, plan)(buffer)) {
        const isLent = content.some(({ buffer: memory }) => memory === piece.buffer)
        if (isLent) assert.isTrue(isLasting && buffer !== undefined, `seed ${seed}`)
        assert.isAtMost(piece.length, isLent ? pieceBytes : (room ?? pieceBytes), `seed ${seed}`)
        read += Buffer.from(piece).toString("latin1")
      }
      assert.isTrue(read === expected, `seed ${seed}`)
    }
  })
})

describe("a large entry in memory that never changes", () => {
  const memory = Buffer.alloc(10 << 20, ".")
  const lending = new Lending(() => true)
  const source = {
    ...randomLog(new Random(1), true).source,
    memory: (_: number, position: number, length: number) => memory.subarray(position, position + length),
    lending
  }
  const shape = ShapeState.made(1, "1-1", definitionOf("t"), "i", 0)
  const tail = new ShapeTail()
  tail.push(0, 1, 0, 0, 0, memory.length)
  shape.tail = tail

  it("is sent to all its readers without a copy, and given back piece by piece", async () => {
    const readers = Array.from({ length: 10 }, () => logPieces(source, shape, planOf(1))(Buffer.alloc(4096)))
    for (const reader of readers) {
      const { value } = await reader.next()
      assert.strictEqual((value as Buffer).buffer, memory.buffer)
      assert.strictEqual((value as Buffer).length, pieceBytes)
    }
    const others = Array.from({ length: 6 }, () => Buffer.alloc(10 << 20))
    const lent = others.filter((other) => lending.lend(other))
    assert.strictEqual(lent.length, 5, "64 MB with the entry")
    // A reader that gives up gives back as well.
    for (const reader of readers) await reader.return(undefined)
    assert.isTrue(lending.lend(others[5] ?? memory))
    for (const other of others) lending.back(other)
    assert.isTrue(lending.lend(Buffer.alloc(64 << 20)), "nothing is left")
  })

  it("is copied where the reader may keep its pieces", async () => {
    for await (const piece of logPieces(source, shape, planOf(1))())
      assert.notStrictEqual(piece.buffer, memory.buffer)
  })
})

describe("entries of a shape", () => {
  it("are taken only if their offsets rise", () => {
    const tail = new ShapeTail()
    assert.isTrue(tail.push(1, 5, 2, 1, 100, 10))
    assert.isFalse(tail.push(1, 5, 2, 1, 200, 10))
    assert.isFalse(tail.push(1, 5, 0, 1, 200, 10))
    assert.isFalse(tail.push(1, 4, 9, 1, 200, 10))
    assert.isTrue(tail.push(1, 5, 3, 1, 50, 10))
    assert.isTrue(tail.push(1, 6, 0, 1, 60, 10))
    assert.isTrue(tail.push(2, 0, 0, 1, 70, 10))
    assert.isFalse(tail.push(1, 9, 9, 1, 80, 10))
    assert.strictEqual(tail.count, 4)
  })
})

describe("a log that cannot be read", () => {
  it("is hopeless after a while, unless the machine is to blame", () => {
    let now = 0
    const failures = new ReadFailures(() => now)
    for (const code of ["EMFILE", "EIO", "ENOMEM", "EACCES"]) {
      for (let n = 0; n < 10; n++) {
        assert.isFalse(failures.isHopeless(1, system(code)), code)
        now += 1000
      }
    }
    assert.isFalse(failures.isHopeless(1, system("ENOENT")))
    assert.isFalse(failures.isHopeless(1, new RangeError("out of range")))
    assert.isFalse(failures.isHopeless(1, new RangeError("out of range")), "a follower may still catch up")
    assert.isFalse(failures.isHopeless(2, new RangeError("out of range")))
    now += 2500
    assert.isTrue(failures.isHopeless(1, new RangeError("out of range")))
    assert.isFalse(failures.isHopeless(2, new RangeError("out of range")))
  })
})
