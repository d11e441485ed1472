import { assert, describe, it } from "@effect/vitest"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { roleAfter, type RoleEvent, type RoleName } from "../../src/storage/roles/EngineRole.ts"
import { createShape, engineAt, temporaryDirectory, writeTransaction } from "./support.ts"

type Answer = "held" | "lost" | "unreachable"

const answers: Record<Answer, () => Promise<boolean>> = {
  held: () => Promise.resolve(true),
  lost: () => Promise.resolve(false),
  unreachable: () => Promise.reject(new Error("the database is gone"))
}

const operations = [
  "follow",
  "takeOver",
  "answer",
  "release",
  "write",
  "catchUp",
  "otherWrites",
  "close"
] as const
type Operation = (typeof operations)[number]

/** One engine, what its role must be, and another engine that writes when this one does not. */
class Run {
  readonly did: Array<string> = []
  private readonly directory = temporaryDirectory()
  private readonly random: Random
  private readonly engine = engineAt(this.directory)
  private role: RoleName = "opened"
  /** Gives the answer that a takeover under way waits for. */
  private decide: ((answer: Answer) => void) | undefined
  private takeover: Promise<unknown> = Promise.resolve()
  private readonly asked: Array<Promise<void>> = []
  private shapes = 0
  private lsn = 100n

  constructor(random: Random) {
    this.random = random
  }

  private happens(event: RoleEvent): void {
    this.role = roleAfter(this.role, event) ?? assert.fail(`${event} while ${this.role}`)
  }

  private isRefused(event: RoleEvent): boolean {
    return roleAfter(this.role, event) === null
  }

  async do(operation: Operation): Promise<void> {
    this.did.push(`${operation} (${this.role})`)
    const { engine } = this
    switch (operation) {
      case "follow": {
        if (this.isRefused("follow")) return void assert.throws(() => engine.follow(), /This is a bug/)
        this.happens("follow")
        return engine.follow()
      }
      case "takeOver":
        return this.takeOver()
      case "answer":
        return this.answer(this.random.pick(["held", "held", "lost", "unreachable"]))
      case "release": {
        const wasWriting = this.role === "writing"
        this.happens("release")
        // Asked while this still wrote, answered when it did not.
        const fenced = engine.isFenced()
        const released = engine.release(10_000)
        assert.isTrue(await fenced)
        await this.check()
        await released
        return wasWriting ? this.happens("left") : undefined
      }
      case "write": {
        if (engine.writing === undefined) return
        this.write(engine)
        assert.isTrue(await engine.settled())
        return
      }
      case "catchUp": {
        const caughtUp = engine.catchUp()
        this.asked.push(caughtUp)
        if (this.role !== "takingOver") await caughtUp
        return
      }
      case "otherWrites": {
        if (this.role !== "following") return
        const other = engineAt(this.directory)
        await other.takeOver()
        this.write(other)
        const { epoch } = other.at
        await other.release(10_000)
        await other.close()
        await engine.catchUp()
        assert.strictEqual(engine.store.count, this.shapes)
        assert.strictEqual(engine.at.epoch, epoch)
        return
      }
      case "close": {
        this.happens("close")
        return engine.close()
      }
    }
  }

  private write(engine: typeof this.engine): void {
    const { id } = createShape(engine, `t${++this.shapes}`)
    writeTransaction(engine, (this.lsn += 100n), [{ op: 0, ids: [id] }])
  }

  private async takeOver(): Promise<void> {
    const { engine } = this
    if (this.isRefused("takeOver")) {
      const refused = await engine.takeOver().then(
        () => "",
        (error: unknown) => String(error)
      )
      return void assert.match(refused, /This is a bug/)
    }
    this.happens("takeOver")
    if (this.role === "closed") return void assert.isUndefined(await engine.takeOver())
    const answered = new Promise<Answer>((resolve) => (this.decide = resolve))
    this.takeover = engine
      .takeOver(async () => answers[await answered]())
      .then(
        (taken) => (taken === undefined ? "lost" : "held"),
        () => "unreachable"
      )
  }

  private async answer(answer: Answer): Promise<void> {
    if (this.decide === undefined) return
    this.decide(answer)
    this.decide = undefined
    const ended = await this.takeover
    const wasClosed = this.role === "closed"
    assert.strictEqual(ended, wasClosed && answer === "held" ? "lost" : answer)
    this.happens(answer === "held" ? "won" : "gaveUp")
    if (wasClosed) return
    await Promise.all(this.asked)
  }

  /** What everybody can see of an engine fits its role. */
  async check(): Promise<void> {
    const { engine, role } = this
    const writes = role === "writing"
    assert.strictEqual(engine.writing !== undefined, writes, "writes")
    assert.strictEqual(engine.writer !== undefined, writes, "has a writer")
    assert.strictEqual(await engine.isFenced(), !writes, "is fenced")
    assert.strictEqual(await engine.settled(), writes, "is settled")
    if (writes) assert.isAbove(engine.at.epoch, 0)
    if (role !== "closed" && role !== "opened") assert.strictEqual(engine.store.count, this.shapes)
  }

  /** Nobody is left waiting, and nothing goes on. */
  async end(): Promise<void> {
    if (this.decide !== undefined) await this.answer("held")
    if (this.role !== "closed") await this.do("close")
    await Promise.all(this.asked)
    await this.check()
  }
}

describe("a storage engine to which things happen in any order", () => {
  it("has the role that the table says, does what belongs to it, and leaves nobody waiting", async () => {
    const seed = freshSeed()
    for (let round = 0; round < 30; round++) {
      const random = makeRandom(seed + round)
      const run = new Run(random)
      try {
        for (let n = random.int(3, 18); n > 0; n--) {
          // The end is rarely in the middle.
          await run.do(random.chance(0.04) ? "close" : random.pick(operations.slice(0, -1)))
          await run.check()
        }
        await run.end()
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}: ${run.did.join(", ")}`, { cause: error })
      }
    }
  })
})
