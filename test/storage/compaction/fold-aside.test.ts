import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { onTestFinished } from "vitest"
import { systemTimers } from "../../../src/shared/Timers.ts"
import { FoldAside } from "../../../src/storage/compaction/FoldAside.ts"
import {
  type FoldJob,
  type FoldOutput,
  FoldWork,
  type RunningFold
} from "../../../src/storage/compaction/FoldWork.ts"
import { memorySpill, randomHistory } from "../../../testing/compaction/Histories.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"

const rest = () => Promise.resolve()

const threadOfTest = (): FoldAside => {
  const aside = new FoldAside(systemTimers, 0)
  onTestFinished(() => aside.end())
  return aside
}

const begun = async (aside: FoldAside, job: FoldJob, spill = memorySpill(), resting = rest) => {
  const fold = await aside.begin(job, 1, spill, resting)
  assert(fold !== undefined, "there is a thread")
  return fold
}

/** Pieces of the log, cut anywhere, and the files that are made of it. */
const filesOf = async (
  fold: RunningFold,
  pieces: ReadonlyArray<Uint8Array>
): Promise<ReadonlyArray<unknown>> => {
  for (const piece of pieces) await fold.add(piece)
  const files: Array<unknown> = []
  let text = ""
  for await (const output of fold.outputs() as AsyncIterable<FoldOutput>)
    if ("piece" in output) text += Buffer.from(output.piece).toString("utf8")
    else {
      files.push({ text, ...output.end })
      text = ""
    }
  return files
}

const cut = (random: Random, bytes: Buffer): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const length = random.int(1, 3000)
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

const jobOf = (random: Random, makes: FoldJob["makes"]): FoldJob => ({
  makes,
  fileBytes: random.pick([700, 5000, 1e9]),
  budget: random.pick([500, 3000, 1e9]),
  lists: random.int(1, 4),
  charactersPerPause: random.pick([1, 1e5])
})

const threads = () =>
  readdirSync("/proc/self/task").filter(
    (id) => readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim() === "WorkerThread"
  ).length

describe("a fold in a thread of its own", () => {
  it("makes the same files as one that is here", async () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const aside = threadOfTest()
    for (let n = 0; n < 30; n++) {
      const { entries, firstRows } = randomHistory(random, 200)
      const isOfRows = random.chance(0.5)
      const texts = [...(isOfRows ? firstRows : []), ...entries.map(({ text }) => text)]
      const pieces = cut(random, Buffer.from(texts.join(",")))
      const behind = random.pick(entries)
      const job = jobOf(random, isOfRows ? "rows" : { logBehind: { tx: behind.tx, op: behind.op } })
      const spill = memorySpill()
      const fold = await begun(aside, job, spill)
      assert.deepStrictEqual(
        await filesOf(fold, pieces),
        await filesOf(new FoldWork(job, memorySpill(), rest), pieces),
        `seed ${seed}`
      )
      assert.strictEqual(spill.lists.size, 0)
      aside.finish(fold)
    }
  })

  it("ends with what fails where it is wanted, and folds the next log", async () => {
    const aside = threadOfTest()
    const random = makeRandom(1)
    const job = { makes: "rows", fileBytes: 1e9, budget: 500, lists: 2, charactersPerPause: 1 } as const
    const texts = randomHistory(random, 100)
    const piece = Buffer.from([...texts.firstRows, ...texts.entries.map(({ text }) => text)].join(","))
    const failed = async (begins: Promise<RunningFold>, given = piece) => {
      const fold = await begins
      const failure = await filesOf(fold, [given]).then(
        () => assert.fail("it ends"),
        (error: unknown) => error
      )
      aside.finish(fold)
      return failure
    }
    const nobody = new Error("nobody wants it")
    assert.strictEqual(await failed(begun(aside, job, memorySpill(), () => Promise.reject(nobody))), nobody)
    const full = new Error("no room")
    const spill = { ...memorySpill(), append: () => Promise.reject(full) }
    assert.strictEqual(await failed(begun(aside, job, spill)), full)
    const wrong = Buffer.from(
      `{"key":"k","value":{},"headers":{"operation":"update","lsn":"1","op_position":0}}`
    )
    const update = await failed(begun(aside, job), wrong)
    assert.match(String(update), /update of a row that it has not: k/)
    const whole = await begun(aside, job)
    assert.isAbove((await filesOf(whole, [piece])).length, 0)
    aside.finish(whole)
    // A thread that is gone, in the middle of one and before the next.
    const going = await begun(aside, job)
    const ending = going.add(piece).catch((error: unknown) => error)
    aside.end()
    assert.match(String(await ending), /ended/)
    assert.match(String(await going.add(piece).catch((error: unknown) => error)), /ended/)
    assert.isAbove((await filesOf(await begun(aside, job), [piece])).length, 0)
  })

  it("has one log at a time: another one is folded where it is asked for", async () => {
    const aside = threadOfTest()
    const random = makeRandom(2)
    const job = jobOf(random, "rows")
    const { entries, firstRows } = randomHistory(random, 100)
    const piece = Buffer.from([...firstRows, ...entries.map(({ text }) => text)].join(","))
    const [first, second] = await Promise.all([
      aside.begin(job, 1 << 30, memorySpill(), rest),
      aside.begin(job, 1 << 30, memorySpill(), rest)
    ])
    assert.isDefined(first)
    assert.isUndefined(second)
    const here = new FoldWork(job, memorySpill(), rest)
    const [there, elsewhere] = await Promise.all([filesOf(first ?? here, [piece]), filesOf(here, [piece])])
    assert.deepStrictEqual(there, elsewhere)
    // Whoever had nothing of the thread does not end what it has.
    aside.finish(here)
    assert.isUndefined(await aside.begin(job, 1 << 30, memorySpill(), rest))
    aside.finish(first ?? here)
    assert.isDefined(await aside.begin(job, 1 << 30, memorySpill(), rest))
  })

  it("keeps no memory of a large log: its thread ends with it", async (context) => {
    if (!existsSync("/proc/self/task")) return context.skip()
    await eventually("the end of what other tests had", () => threads() === 0)
    const aside = threadOfTest()
    const job = { makes: "rows", fileBytes: 1e6, budget: 1e9, lists: 1, charactersPerPause: 1e6 } as const
    const folded = async (rows: number) => {
      const fold = await begun(aside, job)
      for (let k = 0; k < rows; k += 100) {
        const texts = Array.from({ length: Math.min(100, rows - k) }, (_, i) =>
          rowMessage(`k${k + i}`, "x".repeat(1000))
        )
        await fold.add(Buffer.from(`${k === 0 ? "" : ","}${texts.join(",")}`))
      }
      let bytes = 0
      for await (const output of fold.outputs()) if ("piece" in output) bytes += output.piece.length
      aside.finish(fold)
      return bytes
    }
    assert.isAbove(await folded(100), 100_000)
    assert.strictEqual(threads(), 1)
    assert.isAbove(await folded(100_000), 100_000_000)
    await eventually("the end of the thread", () => threads() === 0)
    assert.isAbove(await folded(100), 100_000)
    assert.strictEqual(threads(), 1)
  })
})

const rowMessage = (key: string, text: string) =>
  `{"key":"${key}","value":{"t":"${text}"},"headers":{"operation":"insert","relation":["public","t"]}}`
