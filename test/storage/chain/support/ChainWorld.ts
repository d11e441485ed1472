import { assert } from "@effect/vitest"
import fc from "fast-check"
import { BucketFault } from "../../../../src/bucket/BucketFault.ts"
import type { ObjectStore } from "../../../../src/bucket/ObjectStore.ts"
import { Chain } from "../../../../src/storage/chain/Chain.ts"
import { ChainBroken } from "../../../../src/storage/chain/ChainBroken.ts"
import {
  type ChainContent,
  type ChainObject,
  type ChainPlace,
  walKey,
  walNumber
} from "../../../../src/storage/chain/ChainObject.ts"
import { chainStart, type ToldLink } from "../../../../src/storage/chain/PlaceAfter.ts"
import { HandTimers } from "../../../../testing/HandTimers.ts"
import { BucketWire, type Fate, fates } from "./BucketWire.ts"

const minute = 60_000
const names = ["a", "b", "c"] as const

/** How collecting is done, to show what goes wrong when it is done in another way. */
export interface Collecting {
  readonly leavesFences: boolean
  readonly leavesYoung: boolean
  /** A checkpoint is announced in the chain, before anything below it is collected: so there is always a last object. */
  readonly announces: boolean
}
export const asDesigned: Collecting = { leavesFences: true, leavesYoung: true, announces: true }

/** What has come about in the bucket: number n was created by this process, with this checksum. */
interface Created {
  readonly by: string
  readonly crc: number
}

interface Checkpoint {
  readonly place: ChainPlace
  /** Checksums of the objects that are in it. */
  readonly applied: ReadonlyArray<number>
}

export type Step =
  | { readonly _tag: "Poll" | "Listen" | "TakeOver" | "Write" | "GiveUp"; readonly who: number }
  | { readonly _tag: "Checkpoint" | "Collect"; readonly who: number }
  | { readonly _tag: "Kill" | "Start" | "Freeze" | "Thaw"; readonly who: number }
  | { readonly _tag: "Pass"; readonly millis: number }
  | { readonly _tag: "Deliver"; readonly index: number; readonly fate: Fate }
  | { readonly _tag: "Flow" }

const who = fc.nat(names.length - 1)
const tagged = (...tags: ReadonlyArray<Exclude<Step["_tag"], "Pass" | "Deliver" | "Flow">>) =>
  fc.record({ _tag: fc.constantFrom(...tags), who }) as fc.Arbitrary<Step>

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: tagged("Poll", "TakeOver", "Write", "Write", "Listen", "Listen") },
  { weight: 3, arbitrary: tagged("Checkpoint", "Checkpoint", "Collect") },
  { weight: 3, arbitrary: tagged("Kill", "Start", "Start", "Freeze", "Thaw", "GiveUp") },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Pass" as const),
      millis: fc.constantFrom(200, 6_000, 5 * minute, 40 * minute, 61 * minute, 150 * minute)
    })
  },
  {
    weight: 5,
    arbitrary: fc.record({
      _tag: fc.constant("Deliver" as const),
      index: fc.oneof(fc.constant(0), fc.nat(5)),
      fate: fc.constantFrom<Fate>("answered", "answered", ...fates)
    })
  },
  { weight: 8, arbitrary: fc.constant<Step>({ _tag: "Flow" }) }
)

const flow: Step = { _tag: "Flow" }

/** Two checkpoints, and what they make superfluous is old enough to be collected. */
const tidying = fc
  .record({ who, waits: fc.constantFrom(200, 61 * minute, 150 * minute), again: fc.boolean() })
  .map(({ again, waits, who: writer }): ReadonlyArray<Step> => {
    const checkpoint: Step = { _tag: "Checkpoint", who: writer }
    const collect: ReadonlyArray<Step> = [
      { _tag: "Pass", millis: waits },
      { _tag: "Collect", who: writer },
      flow
    ]
    return again ? [checkpoint, flow, checkpoint, flow, ...collect] : [checkpoint, flow, ...collect]
  })

/** What happens, one after the other. */
export const stepsArbitrary: fc.Arbitrary<ReadonlyArray<Step>> = fc
  .array(
    fc.oneof({ weight: 12, arbitrary: anyStep.map((one) => [one]) }, { weight: 1, arbitrary: tidying }),
    {
      minLength: 20,
      maxLength: 150
    }
  )
  .map((steps) => steps.flat())

/** Lets everything happen that waits for nothing. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A process: a reader, a writer, or one that was. */
class Member {
  readonly process: string
  readonly timers = new HandTimers()
  readonly store: ObjectStore
  readonly chain: Chain
  applied: Array<number> = []
  role: "reading" | "writing" | "overtaken" = "reading"
  isBusy = false
  isFrozen = false
  isDead = false
  givesUp = false
  /** Time that passes for it when it is thawed. */
  owedMillis = 0

  constructor(process: string, store: ObjectStore, atMillis: number) {
    this.process = process
    this.store = store
    this.timers.pass(atMillis)
    this.chain = new Chain({ store, timers: this.timers })
  }
}

/** Members, a bucket, what goes on between them, and the list of objects that everybody has to agree on. */
export class ChainWorld {
  private nowMillis = 0
  private processes = 0
  private written = 0
  private readonly wire: BucketWire
  private readonly collecting: Collecting
  private readonly members = new Map<string, Member>()
  /** The pure chain. */
  readonly truth: Array<Created> = []
  /** What members were told that they have created. */
  private readonly told: Array<Created & { readonly n: number }> = []
  /** What the writer says over the tail of what it has created, by number. */
  private readonly links = new Map<number, ToldLink>()
  private readonly openers = new Map<number, string>()
  private readonly collected = new Set<number>()
  private readonly checkpoints: Array<Checkpoint> = []
  private readonly announced: Array<Checkpoint> = []

  constructor(collecting = asDesigned) {
    this.collecting = collecting
    this.wire = new BucketWire(
      () => this.nowMillis,
      (by, key, bytes) => {
        const n = walNumber(key) ?? assert.fail(key)
        assert.strictEqual(n, this.truth.length, `${by} creates number ${n}`)
        this.truth.push({ by, crc: bytes.readUInt32LE(bytes.length - 4) })
        if (bytes.includes('"opens"')) this.openers.set(n, by)
      }
    )
  }

  /** How often what had come about: a test that never gets there shows nothing. */
  readonly seen = { created: 0, overtaken: 0, collected: 0, restarted: 0, told: 0 }

  async play(steps: ReadonlyArray<Step>): Promise<void> {
    // The first one writes, the others read.
    for (const name of names) this.start(name)
    await this.flow()
    this.begin(names[0], this.members.get(names[0]) ?? assert.fail("nobody"), "TakeOver")
    await this.flow()
    for (const step of steps) {
      await this.step(step)
      await settled()
      for (const error of this.broken.splice(0)) throw error
    }
    await this.finish()
  }

  private readonly broken: Array<unknown> = []

  private async step(step: Step): Promise<void> {
    if (step._tag === "Deliver") return this.wire.deliver(step.index, step.fate)
    if (step._tag === "Flow") return this.flow()
    if (step._tag === "Pass") return this.pass(step.millis)
    const name = this.whoCan(step._tag, step.who)
    const member = this.members.get(name)
    if (member === undefined || member.isDead) {
      if (step._tag === "Start") this.start(name)
      return
    }
    if (step._tag === "Kill") {
      member.isDead = true
      this.wire.freeze(member.process)
    } else if (step._tag === "Thaw") await this.thaw(member)
    else if (member.isFrozen) return
    else if (step._tag === "Freeze") {
      member.isFrozen = true
      this.wire.freeze(member.process)
    } else if (step._tag === "GiveUp") {
      member.givesUp = true
      member.chain.hurry()
      await settled()
      member.givesUp = false
    } else if (step._tag === "Listen") this.listen(member)
    else if (this.isAble(step._tag, member)) this.begin(name, member, step._tag)
  }

  /** The one that is named, or the next one that is in a position to do it. */
  private whoCan(task: Step["_tag"], index: number): string {
    const inTurn = [...names, ...names].slice(index, index + names.length)
    const able = inTurn.find((name) => this.isAble(task, this.members.get(name)))
    return able ?? inTurn[0] ?? assert.fail("nobody")
  }

  private isAble(task: Step["_tag"], member: Member | undefined): boolean {
    if (task === "Start") return member?.isDead !== false
    if (member === undefined || member.isDead) return false
    const { isBusy, isFrozen, role } = member
    if (task === "Thaw") return isFrozen
    if (task === "Kill") return true
    if (task === "Freeze" || task === "GiveUp") return !isFrozen
    if (isFrozen || isBusy) return false
    if (task === "Poll") return role === "reading"
    if (task === "Listen") return role === "reading" && this.links.has(member.chain.place.next)
    if (task === "TakeOver") return role !== "writing"
    return role === "writing" || (task === "Write" && role === "overtaken")
  }

  private begin(name: string, member: Member, task: Step["_tag"]): void {
    if (task === "Poll") this.run(name, member, () => this.read(member))
    else if (task === "TakeOver") this.run(name, member, () => this.takeOver(member))
    else if (task === "Write") this.run(name, member, () => this.write(member))
    else if (task === "Checkpoint") this.run(name, member, () => this.checkpoint(member))
    else if (task === "Collect") this.run(name, member, () => this.collect(member))
  }

  /** A task of a member; what it fails with is either foreseen, or wrong. */
  private run(name: string, member: Member, task: () => Promise<void>): void {
    member.isBusy = true
    void task()
      .catch((error: unknown) => {
        if (member.isDead || error instanceof BucketFault) return
        const { next } = member.chain.place
        if (!(error instanceof ChainBroken) || error.reason !== "collected") throw error
        assert.isTrue(this.collected.has(next), `${next} was not collected`)
        this.seen.restarted += 1
        member.isDead = true
        assert.isAbove(this.newest()?.place.next ?? 0, next, "there is a newer checkpoint")
        this.start(name)
      })
      .catch((error: unknown) => void this.broken.push(error))
      .finally(() => (member.isBusy = false))
  }

  private newest(): Checkpoint | undefined {
    return this.checkpoints.toSorted((a, b) => b.place.next - a.place.next)[0]
  }

  private start(name: string): void {
    const process = `${name}${this.processes++}`
    const member = new Member(process, this.wire.storeOf(process), this.nowMillis)
    this.members.set(name, member)
    const { place, applied } = this.newest() ?? { place: chainStart, applied: [] }
    member.applied = [...applied]
    this.run(name, member, async () => {
      await member.chain.readFrom(place, this.apply(member))
    })
  }

  private apply(member: Member) {
    return (object: ChainObject): Promise<void> => {
      this.isTrue(object.n, object.crc)
      assert.strictEqual(object.n, member.applied.length)
      member.applied.push(object.crc)
      return Promise.resolve()
    }
  }

  private isTrue(n: number, crc: number): void {
    assert.strictEqual(crc, this.truth[n]?.crc, `object ${n} is another one`)
  }

  private async read(member: Member): Promise<void> {
    await member.chain.readOn(this.apply(member))
  }

  private listen(member: Member): void {
    const link = this.links.get(member.chain.place.next)
    if (member.role !== "reading" || link === undefined || !member.chain.told(link)) return
    this.isTrue(link.n, link.crc)
    this.seen.told += 1
    member.applied.push(link.crc)
  }

  private async takeOver(member: Member): Promise<void> {
    member.role = "reading"
    for (;;) {
      await this.read(member)
      const epoch = (member.chain.place.opening?.epoch ?? 0) + 1
      const opening = { epoch, ranges: [], opens: { epoch, previous: null }, isFence: true }
      if (await this.append(member, opening)) break
    }
    member.role = "writing"
  }

  private async checkpoint(member: Member): Promise<void> {
    const checkpoint = { place: member.chain.place, applied: [...member.applied] }
    this.checkpoints.push(checkpoint)
    if (!this.collecting.announces) {
      this.announced.push(checkpoint)
      return
    }
    const { epoch } = member.chain.place.end
    const created = await this.append(member, {
      epoch,
      ranges: [],
      checkpoint: `checkpoints/${checkpoint.place.next}`
    })
    if (!created) member.role = "overtaken"
    else this.announced.push(checkpoint)
  }

  private async write(member: Member): Promise<void> {
    const before = member.chain.place
    const { epoch } = before.end
    const bytes = Buffer.from(`${this.written++}`)
    const ranges = [{ epoch, segment: 0, position: before.end.position, bytes }]
    const created = await this.append(member, { epoch, ranges })
    if (!created) member.role = "overtaken"
    else {
      assert.strictEqual(member.role, "writing", "who was overtaken does not write any more")
      const { crc, end } = member.chain.place
      this.links.set(before.next, { n: before.next, previousCrc: before.crc, crc, end })
    }
  }

  /** After a fault it is not known whether the object is there: it may turn out to be what overtakes its own writer. */
  private async append(member: Member, content: ChainContent): Promise<boolean> {
    const n = member.chain.place.next
    const answer = await member.chain.append(content, () => !member.isDead && !member.givesUp)
    if (answer === "overtaken") {
      this.seen.overtaken += 1
      return false
    }
    const { crc } = member.chain.place
    this.seen.created += 1
    this.told.push({ by: member.process, n, crc })
    member.applied.push(crc)
    return true
  }

  /** As the writer does: after a look at the next key, what the checkpoint before the newest makes superfluous. */
  private async collect(member: Member): Promise<void> {
    const { place } = this.announced.at(-2) ?? { place: chainStart }
    if ((await member.store.get(walKey(member.chain.place.next))) !== undefined) return
    const keys: Array<string> = []
    for await (const { key, modifiedMillis } of member.store.list("wal/")) {
      const n = walNumber(key) ?? assert.fail(key)
      if (n >= place.next) continue
      if (this.collecting.leavesFences && place.fences.includes(n)) continue
      if (this.collecting.leavesYoung && this.nowMillis - modifiedMillis < 60 * minute) continue
      keys.push(key)
      this.collected.add(n)
      this.seen.collected += 1
    }
    await member.store.remove(keys)
  }

  private async flow(): Promise<void> {
    for (let times = 0; times < 500 && !this.wire.isQuiet; times++) {
      await this.wire.deliver(0, "answered")
      await settled()
    }
  }

  private async pass(millis: number): Promise<void> {
    this.nowMillis += millis
    for (const member of this.members.values()) {
      if (member.isFrozen) member.owedMillis += millis
      else member.timers.pass(millis)
      await settled()
    }
  }

  private async thaw(member: Member): Promise<void> {
    if (!member.isFrozen) return
    member.isFrozen = false
    member.timers.pass(member.owedMillis)
    member.owedMillis = 0
    await settled()
    this.wire.thaw(member.process)
  }

  /** Everything works again: all read to the end. Then they know the same, and what was promised is there. */
  private async finish(): Promise<void> {
    for (const member of this.members.values()) await this.thaw(member)
    for (const name of names) await this.step({ _tag: "Start", who: names.indexOf(name) })
    // Tries that are under way, and what was begun anew.
    for (let times = 0; times < 20; times++) {
      await this.flow()
      await this.pass(6_000)
      for (const member of this.members.values()) if (!member.isBusy) member.role = "reading"
      for (const name of names) await this.step({ _tag: "Poll", who: names.indexOf(name) })
    }
    await this.flow()
    for (const error of this.broken.splice(0)) throw error
    const order = this.truth.map((one) => one.crc)
    for (const member of this.members.values()) {
      assert.isFalse(member.isBusy, `${member.process} has ended what it did`)
      assert.deepStrictEqual(member.applied, order, `what ${member.process} knows`)
      assert.strictEqual(member.chain.place.next, order.length)
    }
    for (const { by, crc, n } of this.told) {
      assert.deepStrictEqual({ by, crc }, this.truth[n], `${by} was told that it has created ${n}`)
      assert.strictEqual(this.told.filter((one) => one.n === n).length, 1, `${n} was promised once`)
    }
    let writer: string | undefined
    for (const [n, { by }] of this.truth.entries()) {
      writer = this.openers.get(n) ?? writer
      assert.strictEqual(by, writer, `number ${n} is its who has opened`)
    }
  }
}
