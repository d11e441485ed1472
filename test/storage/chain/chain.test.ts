import { assert, describe, it } from "@effect/vitest"
import { BucketFault, type BucketFaultKind } from "../../../src/bucket/BucketFault.ts"
import { Chain } from "../../../src/storage/chain/Chain.ts"
import { ChainBroken } from "../../../src/storage/chain/ChainBroken.ts"
import {
  type ChainContent,
  type ChainObject,
  type ChainPlace,
  walKey
} from "../../../src/storage/chain/ChainObject.ts"
import { decodeChainObject } from "../../../src/storage/chain/ChainCodec.ts"
import { chainStart, placeAfter } from "../../../src/storage/chain/PlaceAfter.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { HandTimers } from "../../../testing/HandTimers.ts"

const saying = (text: string, position = 0): ChainContent => ({
  epoch: 1,
  ranges: [{ epoch: 1, segment: 0, position, bytes: Buffer.from(text) }]
})
const opening = (epoch: number): ChainContent => ({
  epoch,
  ranges: [],
  opens: { epoch, previous: null },
  isFence: true
})
const always = () => true
const hour = 3_600_000

/** Says what the store answers before it is asked; whatever is left out is what it answers by itself. */
class Scripted extends MemoryStore {
  readonly asked: Array<string> = []
  readonly created: Array<Buffer> = []
  before: (question: string) => Promise<void> | void = () => undefined

  fault(kind: BucketFaultKind): BucketFault {
    return new BucketFault({ operation: "create", object: this.name, kind, said: "no" })
  }

  private async ask(question: string): Promise<void> {
    this.asked.push(question)
    await this.before(question)
  }

  override async create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    this.created.push(Buffer.concat(content))
    await this.ask(`create ${Number(key.slice(4))}`)
    return super.create(key, content)
  }

  override async get(key: string): Promise<Buffer | undefined> {
    await this.ask(`get ${Number(key.slice(4))}`)
    return super.get(key)
  }

  override async *list(prefix: string, after?: string) {
    await this.ask("list")
    yield* super.list(prefix, after)
  }

  /** What was asked since the last time. */
  since(): ReadonlyArray<string> {
    return this.asked.splice(0)
  }
}

const world = () => {
  const timers = new HandTimers()
  const store = new Scripted("memory://bucket", timers.epochMillis)
  const troubles: Array<BucketFault> = []
  const chain = () => new Chain({ store, timers, onTrouble: (fault) => troubles.push(fault) })
  return { timers, store, troubles, chain }
}

const reader = () => {
  const seen: Array<ChainObject> = []
  const apply = (object: ChainObject) => Promise.resolve(void seen.push(object))
  const texts = () => seen.map((object) => Buffer.concat(object.ranges.map((one) => one.bytes)).toString())
  return { seen, apply, texts }
}

/** The place before an object, as a checkpoint has it; what was before is made up. */
const placeAt = async (store: MemoryStore, n: number): Promise<ChainPlace> => {
  const bytes = (await store.get(walKey(n))) ?? assert.fail(`there is no object ${n}`)
  const { previousCrc, stream } = await decodeChainObject(bytes, walKey(n))
  return { ...chainStart, next: n, crc: previousCrc, stream }
}

const failure = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail("it should have failed")
}

const reasonOf = async (promise: Promise<unknown>): Promise<string> => {
  const error = await failure(promise)
  assert.instanceOf(error, ChainBroken)
  return error.reason
}

describe("the chain", () => {
  it("is read as it was written, by those who begin at any time", async () => {
    const { chain } = world()
    const [writer, early, late] = [chain(), chain(), chain()]
    const [one, other] = [reader(), reader()]
    assert.strictEqual(await early.readOn(one.apply), 0)
    for (const text of ["a", "b"]) assert.strictEqual(await writer.append(saying(text), always), "created")
    assert.strictEqual(await early.readOn(one.apply), 2)
    await writer.append(saying("c"), always)
    assert.strictEqual(await early.readOn(one.apply), 1)
    assert.strictEqual(await late.readOn(other.apply), 3)
    assert.deepStrictEqual(one.texts(), ["a", "b", "c"])
    assert.deepStrictEqual(one.seen, other.seen)
    assert.deepStrictEqual(early.place, writer.place)
    assert.deepStrictEqual(late.place, writer.place)
  })

  it("gives a number to one writer alone, and the other one goes on behind it", async () => {
    const { chain } = world()
    const [a, b] = [chain(), chain()]
    const answers = await Promise.all([a.append(opening(1), always), b.append(opening(1), always)])
    assert.deepStrictEqual(answers.toSorted(), ["created", "overtaken"])
    const loser = answers[0] === "overtaken" ? a : b
    assert.strictEqual(loser.place.next, 0)
    assert.strictEqual(await loser.append(opening(1), always), "overtaken")
    const { apply, seen } = reader()
    await loser.readOn(apply)
    assert.strictEqual(seen.length, 1)
    assert.strictEqual(await loser.append(opening(2), always), "created")
    assert.strictEqual(await (loser === a ? b : a).append(saying("x"), always), "overtaken")
    assert.deepStrictEqual(loser.place.fences, [0, 1])
  })

  it("tries again with the same bytes and longer pauses, and knows its own object", async () => {
    const { chain, store, timers, troubles } = world()
    const faults = 8
    store.before = async (question) => {
      if (!question.startsWith("create") || store.created.length > faults) return
      // The last time it has been done, but the answer is lost.
      if (store.created.length === faults)
        await MemoryStore.prototype.create.call(store, walKey(0), store.created.slice(-1))
      throw store.fault("timedOut")
    }
    const writer = chain()
    const appended = writer.append(saying("a"), always)
    const pauses: Array<number> = []
    for (let tried = 1; tried <= faults; tried++) {
      await eventually("a pause", () => store.created.length === tried && timers.nextInMillis !== undefined)
      pauses.push(timers.nextInMillis ?? 0)
      assert.strictEqual(writer.answers.faults, tried)
      assert.strictEqual(writer.answers.failingSinceMillis, 0)
      timers.pass(timers.nextInMillis ?? 0)
    }
    assert.strictEqual(await appended, "created")
    assert.deepStrictEqual(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    assert.strictEqual(new Set(store.created.map((bytes) => bytes.toString("hex"))).size, 1)
    assert.strictEqual(troubles.length, faults)
    assert.deepStrictEqual(writer.answers, {
      faults,
      failingSinceMillis: undefined,
      answeredAtMillis: timers.nowMillis()
    })
    assert.strictEqual(await writer.append(saying("b"), always), "created")
  })

  it("gives up when it is told to, at once, and when nothing will change by itself", async () => {
    const { chain, store, timers } = world()
    store.before = () => {
      throw store.fault("unreachable")
    }
    let goesOn = true
    const writer = chain()
    const appended = failure(writer.append(saying("a"), () => goesOn))
    await eventually("it waits", () => timers.nextInMillis !== undefined)
    goesOn = false
    writer.hurry()
    const given = await appended
    assert.instanceOf(given, BucketFault)
    assert.isUndefined(timers.nextInMillis)

    store.since()
    store.before = () => {
      throw store.fault("denied")
    }
    assert.instanceOf(await failure(writer.append(saying("a"), always)), BucketFault)
    assert.deepStrictEqual(store.since(), ["list"])
    assert.strictEqual(writer.place.next, 0)
  })

  it("has one reader at a time", async () => {
    const { chain } = world()
    const writer = chain()
    for (const text of ["a", "b", "c", "d"]) await writer.append(saying(text), always)
    let inside = 0
    const seen: Array<number> = []
    const apply = async (object: ChainObject) => {
      inside += 1
      assert.strictEqual(inside, 1)
      await new Promise((resolve) => setImmediate(resolve))
      seen.push(object.n)
      inside -= 1
    }
    const reading = chain()
    const counts = await Promise.all([reading.readOn(apply), reading.readOn(apply), reading.readOn(apply)])
    assert.deepStrictEqual(counts, [4, 0, 0])
    assert.deepStrictEqual(seen, [0, 1, 2, 3])
  })

  it("does not pass over an object that could not be applied", async () => {
    const { chain } = world()
    const writer = chain()
    await writer.append(saying("a"), always)
    const reading = chain()
    const refused = await failure(reading.readOn(() => Promise.reject(new Error("the disk is full"))))
    assert.match(String(refused), /the disk is full/)
    const { apply, texts } = reader()
    assert.strictEqual(await reading.readOn(apply), 1)
    assert.deepStrictEqual(texts(), ["a"])
  })

  it("is told of the next object, which it then does not ask for", async () => {
    const { chain, store } = world()
    const [writer, reading] = [chain(), chain()]
    const { apply, texts } = reader()
    await writer.append(saying("a"), always)
    await reading.readOn(apply)
    const before = writer.place
    await writer.append(saying("b", 1), always)
    const link = { n: before.next, previousCrc: before.crc, crc: writer.place.crc, end: writer.place.end }
    assert.isFalse(reading.told({ ...link, previousCrc: 1 }))
    assert.isFalse(reading.told({ ...link, n: 2 }))
    assert.isTrue(reading.told(link))
    assert.isFalse(reading.told(link))
    assert.deepStrictEqual(reading.place, writer.place)
    await writer.append(saying("c", 2), always)
    store.since()
    await reading.readOn(apply)
    assert.deepStrictEqual(store.since(), ["get 2", "get 3"])
    assert.deepStrictEqual(texts(), ["a", "c"])
    assert.isFalse(chain().told({ ...link, n: 0, previousCrc: 0 }))
  })

  it("is told of an object while that is being read, and it counts once", async () => {
    const { chain, store } = world()
    const [writer, reading] = [chain(), chain()]
    const { apply, texts } = reader()
    await writer.append(saying("a"), always)
    await reading.readOn(apply)
    const before = writer.place
    await writer.append(saying("b", 1), always)
    const link = { n: before.next, previousCrc: before.crc, crc: writer.place.crc, end: writer.place.end }
    store.before = (question) => void (question === "get 1" && assert.isTrue(reading.told(link)))
    assert.strictEqual(await reading.readOn(apply), 0)
    assert.deepStrictEqual(texts(), ["a"])
    await writer.append(saying("c", 2), always)
    const next = { n: 2, previousCrc: link.crc, crc: writer.place.crc, end: writer.place.end }
    await reading.readOn((object) => {
      assert.isFalse(reading.told(next), "it is being applied")
      return apply(object)
    })
    assert.deepStrictEqual(texts(), ["a", "c"])
  })

  it("knows an emptied, another, and a cut chain", async () => {
    const { chain, store } = world()
    const [writer, reading] = [chain(), chain()]
    const { apply } = reader()
    await writer.append(saying("a"), always)
    await reading.readOn(apply)
    await store.remove([walKey(0)])
    const another = chain()
    await another.append(saying("x"), always)
    await another.append(saying("y"), always)
    assert.strictEqual(await reasonOf(reading.readOn(apply)), "otherStream")
    await store.remove([walKey(1)])
    const cut = chain()
    cut.resume({ ...another.place, next: 1 })
    await cut.append(saying("z"), always)
    const behind = chain()
    assert.strictEqual(await reasonOf(behind.readOn(apply)), "gap")
    assert.strictEqual(behind.place.next, 1)
  })
})

/** A reader that has stopped at 1, and a chain of four objects of which those that are no fences were collected. */
const past = async () => {
  const all = world()
  const [writer, reading] = [all.chain(), all.chain()]
  const { apply, seen } = reader()
  await writer.append(opening(1), always)
  await reading.readOn(apply)
  for (const text of ["a", "b", "c"]) await writer.append(saying(text), always)
  const collect = () => all.store.remove([1, 2].map(walKey))
  return { ...all, writer, reading, apply, seen, collect }
}

describe("a place that is no longer the end of the chain", () => {
  it("is noticed by a reader that has slept", async () => {
    const { apply, collect, reading, seen, timers } = await past()
    timers.pass(2 * hour)
    await collect()
    assert.strictEqual(await reasonOf(reading.readOn(apply)), "collected")
    assert.strictEqual(seen.length, 1)
    assert.strictEqual(reading.place.next, 1)
  })

  it("is noticed by somebody who goes on there without having looked", async () => {
    const { collect, reading, store, timers } = await past()
    timers.pass(2 * hour)
    await collect()
    assert.strictEqual(await reasonOf(reading.append(saying("x"), always)), "collected")
    assert.strictEqual(await reading.append(saying("x"), always), "overtaken")
    assert.strictEqual(reading.place.next, 1)
    assert.isUndefined(await store.get(walKey(1)))
  })

  it("is noticed by somebody who sleeps in the middle of creating there", async () => {
    const { apply, reading, store, timers, writer } = await past()
    await reading.readOn(apply)
    store.before = async (question) => {
      if (question !== "create 4") return
      store.before = () => undefined
      for (const text of ["d", "e"]) await writer.append(saying(text), always)
      timers.pass(2 * hour)
      await store.remove([walKey(4)])
    }
    assert.strictEqual(await reasonOf(reading.append(saying("x"), always)), "collected")
    assert.strictEqual(reading.place.next, 4)
    assert.strictEqual(await reading.append(saying("x"), always), "overtaken")
  })

  it("asks for no listing while it is sure, and for one when it is not", async () => {
    const { apply, chain, reading, store, timers, writer } = await past()
    await reading.readOn(apply)
    store.since()
    for (let minute = 0; minute < 30; minute++) {
      timers.pass(60_000)
      await reading.readOn(apply)
    }
    assert.isFalse(store.since().includes("list"))
    timers.pass(11 * 60_000)
    await reading.readOn(apply)
    assert.deepStrictEqual(store.since(), ["get 4", "list"])
    assert.strictEqual(await writer.append(saying("d"), always), "created")
    assert.deepStrictEqual(store.since(), ["list", "create 4"])
    const late = chain()
    await late.readOn(apply)
    assert.strictEqual(store.since().filter((question) => question === "list").length, 1)
  })

  it("does not take what was just written for what was collected", async () => {
    const { apply, chain, reading, store, timers, writer } = await past()
    await reading.readOn(apply)
    timers.pass(hour)
    store.before = async (question) => {
      if (question !== "list") return
      store.before = () => undefined
      for (const text of ["d", "e"]) await writer.append(saying(text), always)
    }
    assert.strictEqual(await reading.readOn(apply), 2)

    // It sleeps while it creates, and its successor follows on that object before it looks what stands behind it.
    const successor = chain()
    store.before = async (question) => {
      if (question === "create 6") timers.pass(hour)
      if (question !== "list" || timers.nowMillis() < 2 * hour) return
      store.before = () => undefined
      await successor.readOn(apply)
      assert.strictEqual(await successor.append(opening(2), always), "created")
    }
    assert.strictEqual(await writer.append(saying("f"), always), "created")
    assert.strictEqual(await writer.append(saying("g"), always), "overtaken")
  })

  it("bears a listing that is not of one moment", async () => {
    const { apply, reading, store, timers, writer } = await past()
    await reading.readOn(apply)
    timers.pass(hour)
    store.before = async (question) => {
      if (question !== "list") return
      store.before = () => undefined
      for (const text of ["d", "e"]) await writer.append(saying(text), always)
    }
    const list = store.list.bind(store)
    store.list = async function* (prefix, after) {
      for await (const info of list(prefix, after)) if (info.key !== walKey(4)) yield info
    }
    assert.strictEqual(await reading.readOn(apply), 2)
  })

  it("is sure from the moment at which it has asked", async () => {
    const { apply, reading, store, timers } = await past()
    await reading.readOn(apply)
    timers.pass(hour)
    store.before = (question) => void (question === "list" && timers.pass(9 * 60_000))
    await reading.readOn(apply)
    timers.pass(2 * 60_000)
    store.since()
    await reading.readOn(apply)
    assert.deepStrictEqual(store.since(), ["get 4", "list"])
  })

  it("goes on from the place of a checkpoint", async () => {
    const { chain, seen, apply, writer } = await past()
    const whole = chain()
    await whole.readOn(apply)
    const checkpoint = seen.slice(1, 4).reduce(placeAfter, chainStart)
    const going = chain()
    going.resume(checkpoint)
    const { apply: applyMore, texts } = reader()
    await going.readOn((object) => {
      assert.throws(() => going.resume(checkpoint), "Object 3 of the chain is being dealt with")
      return applyMore(object)
    })
    assert.deepStrictEqual(texts(), ["c"])
    assert.deepStrictEqual(going.place, writer.place)
  })
})

const long = async (objects: number) => {
  const all = world()
  const writer = all.chain()
  for (let n = 0; n < objects; n++) await writer.append(saying(`${n} `), always)
  all.store.since()
  return { ...all, writer }
}

describe("reading a long chain", () => {
  it("asks for many objects at once, applies them in order, and goes on to the end", async () => {
    const { chain, store, writer } = await long(100)
    let underWay = 0
    let most = 0
    store.before = async (question) => {
      if (!question.startsWith("get")) return
      underWay += 1
      most = Math.max(most, underWay)
      for (let turns = Number(question.slice(4)) % 7; turns >= 0; turns--)
        await new Promise((resolve) => setImmediate(resolve))
      underWay -= 1
    }
    const { apply, seen, texts } = reader()
    const reading = chain()
    const more = async (object: ChainObject) => {
      if (object.n === 98) await writer.append(saying("new"), always)
      await apply(object)
    }
    assert.strictEqual(await reading.readFrom(chainStart, more), 101)
    assert.deepStrictEqual(
      seen.map((object) => object.n),
      Array.from({ length: 101 }, (_, n) => n)
    )
    assert.strictEqual(most, 32)
    assert.strictEqual(texts().at(-1), "new")
    assert.deepStrictEqual(reading.place, writer.place)
    assert.strictEqual(store.since().filter((question) => question === "list").length, 1)
  })

  it("goes on where a fault has stopped it", async () => {
    const { chain, store } = await long(50)
    store.before = (question) => {
      if (question === "get 40") throw store.fault("failing")
    }
    const { apply, seen } = reader()
    const reading = chain()
    assert.instanceOf(await failure(reading.readFrom(chainStart, apply)), BucketFault)
    assert.strictEqual(reading.place.next, 40)
    assert.strictEqual(reading.answers.faults, 1)
    store.before = () => undefined
    assert.strictEqual(await reading.readFrom(reading.place, apply), 10)
    assert.strictEqual(seen.length, 50)
  })

  it("notices a hole: one that was there before, and one that is made while it reads", async () => {
    const { chain, store } = await long(40)
    const { apply, seen } = reader()
    await store.remove([5, 6].map(walKey))
    assert.strictEqual(await reasonOf(chain().readFrom(chainStart, apply)), "collected")
    assert.strictEqual(seen.length, 5)
    const checkpoint = await placeAt(store, 7)
    store.before = (question) => (question === "get 30" ? store.remove([walKey(30)]) : undefined)
    const reading = chain()
    assert.strictEqual(await reasonOf(reading.readFrom(checkpoint, apply)), "collected")
    assert.strictEqual(reading.place.next, 30)
    store.before = () => undefined
    const end = await placeAt(store, 39)
    await store.remove([walKey(39)])
    assert.strictEqual(await reading.readFrom(end, apply), 0)
    assert.strictEqual(reading.place.next, 39)
  })

  it("bears a listing that is not of one moment", async () => {
    const { chain, store } = await long(20)
    const list = store.list.bind(store)
    store.list = async function* (prefix, after) {
      for await (const info of list(prefix, after)) if (info.key !== walKey(12)) yield info
    }
    const { apply } = reader()
    assert.strictEqual(await chain().readFrom(chainStart, apply), 20)
  })
})
