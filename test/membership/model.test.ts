import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { Asked } from "../../src/membership/Subselect.ts"
import type { Flip } from "../../src/membership/Flip.ts"
import type { InnerTarget } from "../../src/membership/InnerTarget.ts"
import { MembershipState } from "../../src/membership/MembershipState.ts"
import { depthOf, nestedIn, type Subselect } from "../../src/membership/Subselect.ts"
import type { Subscription } from "../../src/membership/Subscription.ts"
import {
  EvaluationError,
  type Form,
  partsOf,
  type SubselectForm,
  subselectKind,
  type SubselectKind
} from "../../src/where/index.ts"
import { makeRandom, type Random } from "../../testing/Random.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { columns } from "./support/Kinds.ts"
import {
  type Database,
  error,
  type Gift,
  gifts,
  inGroup,
  isAmong,
  linkOf,
  onlyValue,
  type Row,
  sidesOf
} from "./support/Naive.ts"
import { numbers, randomKind, type RandomKind } from "./support/RandomKinds.ts"

const tables = [1, 2, 3]

/** Two relations of each table, whose columns stand in another order. */
const orders = [
  [0, 1, 2, 3],
  [3, 1, 0, 2]
]

interface StoredRow {
  readonly relation: number
  readonly values: Row
}

const tupleIn = ({ relation, values }: StoredRow) =>
  tupleOf((orders[relation] ?? []).map((i) => (values[i] === null ? null : String(values[i]))))

/** All lists of so many of these. */
const lists = <A>(items: ReadonlyArray<A>, length: number): ReadonlyArray<ReadonlyArray<A>> =>
  length === 0 ? [[]] : lists(items, length - 1).flatMap((list) => items.map((item) => [...list, item]))

const withNull = [...numbers, null]

const formsIn = (form: Form): ReadonlyArray<SubselectForm> => [
  ...("sub" in form ? [form] : []),
  ...partsOf(form).flatMap(formsIn)
]

/** Nothing but a text tells flips apart here. */
const flipText = ({ asked, constants, how, kind, ...rest }: Flip): string =>
  JSON.stringify([kind.text, asked, constants, how, "link" in rest ? rest.link : rest.group])

/** The world that the state is told of. */
class World {
  readonly random: Random
  readonly state = new MembershipState()
  readonly kinds: ReadonlyArray<RandomKind>
  readonly rows = new Map<number, Array<StoredRow>>(tables.map((table) => [table, []]))
  readonly targets = new Map<string, InnerTarget>()
  readonly users: Array<Subselect> = []

  constructor(seed: number) {
    this.random = makeRandom(seed)
    const kinds: Array<RandomKind> = []
    for (let i = 0; i < 3; i++) kinds.push(randomKind(this.random, []))
    for (let i = 0; i < 2; i++) kinds.push(randomKind(this.random, kinds))
    kinds.push(randomKind(this.random, kinds))
    this.kinds = kinds
    for (const table of tables) for (const i of orders.keys()) this.makeTarget(table, i)
    for (let i = 0; i < 6; i++) this.rows.get(this.random.pick(tables))?.push(this.row())
  }

  row(): StoredRow {
    return {
      relation: this.random.int(0, 1),
      values: columns.map(() => this.random.pick(withNull))
    }
  }

  makeTarget(table: number, relation: number): void {
    const key = `${table}.${relation}`
    const before = this.targets.get(key)
    if (before !== undefined) this.state.release(before)
    const ordered = (orders[relation] ?? []).map((i) => columns[i] ?? { name: "", typeOid: 0 })
    this.targets.set(key, this.state.target(table, ordered))
  }

  targetOf(table: number, { relation }: StoredRow): InnerTarget {
    const target = this.targets.get(`${table}.${relation}`)
    if (target === undefined) throw new Error("no such target")
    return target
  }

  database(): Database {
    return new Map(Array.from(this.rows, ([table, rows]) => [table, rows.map((one) => one.values)]))
  }

  // Steps

  subscribe(): void {
    const { constants, kind, mayBeValue, parts } = this.random.pick(this.kinds)
    const asValue = mayBeValue && (parts.distinct === true || this.random.chance(0.3))
    // Whatever is selected, if anything is.
    const asked: Asked = this.random.chance(0.2) ? "rows" : asValue ? "value" : "set"
    const user = { kind, constants: constants(this.random), asked }
    this.users.push(user)
    const all = this.state.subscribe(user.kind, user.constants, user.asked)
    for (let depth = 0; depth <= depthOf(kind); depth++)
      this.load(all.filter((one) => one.of.depth === depth && !one.isKnown))
    this.dropFailed()
  }

  /** As from a query that shows more than it should, and is rewound. */
  load(due: ReadonlyArray<Subscription>): void {
    if (due.length === 0) return
    const loading = this.state.load(due)
    for (const table of tables)
      for (const relation of orders.keys()) {
        const ordered = (orders[relation] ?? []).map((i) => columns[i] ?? { name: "", typeOid: 0 })
        const target = loading.target(table, ordered)
        const told = (this.rows.get(table) ?? [])
          .filter((row) => row.relation === relation)
          .map((row) => ({ row, delta: 1 }))
        const extra = this.random.int(0, 2)
        for (let i = 0; i < extra; i++) {
          const row = { ...this.row(), relation }
          told.splice(this.random.int(0, told.length), 0, { row, delta: 1 })
          told.splice(this.random.int(0, told.length), 0, { row, delta: -1 })
        }
        for (const { delta, row } of told)
          if (delta > 0) loading.add(target, tupleIn(row))
          else loading.remove(target, tupleIn(row))
      }
    loading.finish()
  }

  unsubscribe(): void {
    if (this.users.length === 0) return
    const [user] = this.users.splice(this.random.int(0, this.users.length - 1), 1)
    if (user !== undefined) this.state.unsubscribe(user.kind, user.constants, user.asked)
  }

  /** Whoever uses one that has failed is gone. */
  dropFailed(): void {
    const failed = new Set(this.state.takeFailures().map(({ subscription }) => subscription))
    for (const one of failed) assert.isFalse(one.isKnown)
    for (const user of this.users.slice()) {
      if (this.isSound(user)) continue
      this.users.splice(this.users.indexOf(user), 1)
      this.state.unsubscribe(user.kind, user.constants, user.asked)
    }
  }

  /** It and all that is inside of it is known. */
  isSound(subselect: Subselect): boolean {
    return (
      this.state.isKnown(subselect.kind, subselect.constants, subselect.asked) &&
      nestedIn(subselect).every((one) => this.isSound(one))
    )
  }

  sound(): ReadonlyArray<Subscription> {
    return Array.from(this.state.all()).filter((one) => this.isSound(one))
  }

  transaction(): void {
    const { random, state } = this
    const before = this.database()
    const saved = new Map(Array.from(this.rows, ([table, rows]) => [table, [...rows]]))
    state.begin()
    const changes = random.int(1, 4)
    for (let i = 0; i < changes; i++) this.change()
    if (random.chance(0.2)) this.unsubscribe()
    this.moves()
    const after = this.database()
    this.compareFlips(before, after)
    this.compare(after, () => state.useAfter())
    this.compare(before, () => state.useBefore())
    if (random.chance(0.75)) {
      state.apply()
      this.dropFailed()
    } else {
      state.discard()
      for (const [table, rows] of saved) this.rows.set(table, rows)
      this.dropFailed()
    }
  }

  change(): void {
    const { random, state } = this
    const table = random.pick(tables)
    const rows = this.rows.get(table) ?? []
    if (random.chance(0.08)) {
      rows.length = 0
      state.truncate(table)
      return
    }
    const at = random.int(0, rows.length)
    const old = rows[at]
    const next = old !== undefined && random.chance(0.4) ? undefined : this.row()
    if (old !== undefined && next?.relation !== old.relation) {
      // Another relation's row: to Postgres that is two changes.
      state.change(this.targetOf(table, old), tupleIn(old), undefined)
      if (next !== undefined) state.change(this.targetOf(table, next), undefined, tupleIn(next))
    } else if (next !== undefined)
      state.change(this.targetOf(table, next), old === undefined ? undefined : tupleIn(old), tupleIn(next))
    rows.splice(at, 1, ...(next === undefined ? [] : [next]))
  }

  /** The rows that flips of deeper levels can matter to, by what is said of flips. */
  moves(): void {
    const everything = this.random.chance(0.2)
    for (let depth = 1; depth <= this.state.maxDepth; depth++) {
      const flips = Array.from(this.state.flips()).filter((flip) => depthOf(flip.kind) < depth)
      const kinds = new Set(Array.from(this.state.all(), (one) => one.kind))
      for (const [table, rows] of this.rows) {
        const forms = Array.from(kinds)
          .filter((kind) => depthOf(kind) === depth && kind.plan.table.oid === table)
          .flatMap((kind) => formsIn(kind.plan.plan.root))
        for (const row of rows)
          if (everything || forms.some((form) => flips.some((flip) => concerns(flip, form, row.values))))
            this.state.move(this.targetOf(table, row), tupleIn(row), depth)
      }
    }
  }

  // What must be so

  compareFlips(before: Database, after: Database): void {
    const sound = new Set(
      this.sound().map((one) => JSON.stringify([one.kind.text, one.asked, one.constants]))
    )
    const expected = this.sound().flatMap((one) => expectedFlips(one, before, after))
    const seen = Array.from(this.state.flips())
      .filter((one) => sound.has(JSON.stringify([one.kind.text, one.asked, one.constants])))
      .map(flipText)
    assert.deepStrictEqual(seen.toSorted(), expected.toSorted())
  }

  compare(db: Database, use: () => void): void {
    use()
    const { state } = this
    const having = new Map<SubselectKind, Map<unknown, Array<string>>>()
    for (const one of this.sound()) {
      const { asked, constants, kind } = one
      const given = gifts(kind.plan, constants, db)
      if (given === error)
        assert.fail(
          `a row cannot be judged, and nobody was told: ${JSON.stringify([constants, kind.plan.table.oid, kind.plan.plan.root, Array.from(db)])}`
        )
      for (const group of lists(numbers, kind.plan.group.length)) {
        const found = inGroup(given, group)
        if (asked === "rows") {
          const rows = Array.from(state.rows(kind, constants, linkOf(group)))
          const all = rows.flatMap(({ count, values }) =>
            Array.from({ length: count }, () => JSON.stringify(values))
          )
          assert.deepStrictEqual(all.toSorted(), found.map(({ values }) => JSON.stringify(values)).toSorted())
          continue
        }
        if (asked === "value") {
          assert.strictEqual(
            value(() => state.value(kind, constants, linkOf(group))),
            onlyValue(found, kind.plan)
          )
          continue
        }
        assert.strictEqual(state.exists(kind, constants, linkOf(group)), found.length > 0)
        for (const values of lists(withNull, kind.plan.select.length)) {
          if (values.length > 0)
            assert.strictEqual(state.any(kind, constants, linkOf(group), values), isAmong(found, values))
          if (values.includes(null)) continue
          const link = linkOf([...group, ...values])
          const links = having.get(kind) ?? new Map<unknown, Array<string>>()
          having.set(kind, links)
          links.set(link, [
            ...(links.get(link) ?? []),
            ...(isAmong(found, values) === true ? [constants] : [])
          ])
        }
      }
    }
    for (const [kind, links] of having)
      for (const [link, constants] of links) {
        const found = Array.from(state.having(kind, link))
        const known = found.filter((text) => this.isSound({ kind, constants: text, asked: "set" }))
        assert.deepStrictEqual(known.toSorted(), constants.toSorted())
      }
  }

  /** What is counted is what is there. */
  compareSize(): void {
    let size = 0
    for (const one of this.state.all()) size += one.counts.size
    assert.strictEqual(this.state.size, size)
  }
}

const value = (ask: () => unknown): unknown => {
  try {
    return ask()
  } catch (failure) {
    if (failure instanceof EvaluationError) return error
    throw failure
  }
}

const same = (a: ReadonlyArray<number | null>, b: unknown): boolean => linkOf(a) === b && !a.includes(null)

const concerns = (flip: Flip, form: SubselectForm, row: Row): boolean => {
  if (flip.kind !== subselectKind(form.sub) || flip.asked !== (form.how === "value" ? "value" : "set"))
    return false
  const { group, values } = sidesOf(form, row)
  if ("link" in flip) return same([...group, ...values], flip.link)
  if (!same(group, flip.group)) return false
  return flip.how !== "null-probes" || values.includes(null)
}

const textOf = (found: ReadonlyArray<Gift>): string =>
  JSON.stringify(found.map(({ values }) => values).toSorted())

const distinctTextOf = (found: ReadonlyArray<Gift>): string =>
  JSON.stringify([...new Set(found.map(({ values }) => String(values)))].toSorted())

const expectedFlips = (one: Subscription, before: Database, after: Database): ReadonlyArray<string> => {
  const { asked, constants, kind } = one
  const was = gifts(kind.plan, constants, before)
  const is = gifts(kind.plan, constants, after)
  if (was === error || is === error) return assert.fail("a row cannot be judged, and nobody was told")
  const flips: Array<string> = []
  for (const group of lists(numbers, kind.plan.group.length)) {
    const [old, now] = [inGroup(was, group), inGroup(is, group)]
    const flip = (how: Flip["how"], key: unknown) =>
      flips.push(JSON.stringify([kind.text, asked, constants, how, key]))
    if (asked !== "set") {
      const text = kind.plan.distinct === true ? distinctTextOf : textOf
      if (text(old) !== text(now)) flip("whole", linkOf(group))
      continue
    }
    let anyLink = false
    let anyNull = false
    for (const values of lists(withNull, kind.plan.select.length)) {
      const has = (found: ReadonlyArray<Gift>) => found.some((gift) => String(gift.values) === String(values))
      if (has(old) === has(now)) continue
      if (values.includes(null)) anyNull = true
      else {
        anyLink = true
        flip(has(old) ? "left" : "entered", linkOf([...group, ...values]))
      }
    }
    const width = kind.plan.select.length
    if (anyNull) flip("nulls", linkOf(group))
    else if (width > 0 && (old.length > 0 !== now.length > 0 || (width > 1 && anyLink)))
      flip("null-probes", linkOf(group))
  }
  return flips
}

describe("what sub-selects give", () => {
  it("is what all rows give, after any changes, and what a transaction flips is what differs", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fffffff }), fc.integer({ min: 1, max: 30 }), (seed, steps) => {
        const world = new World(seed)
        for (let i = 0; i < steps; i++) {
          const kind = world.random.next()
          if (kind < 0.3 || world.users.length === 0) world.subscribe()
          else if (kind < 0.4) world.unsubscribe()
          else if (kind < 0.45) world.makeTarget(world.random.pick(tables), world.random.int(0, 1))
          else world.transaction()
          world.compare(world.database(), () => world.state.useAfter())
          world.compareSize()
        }
        while (world.users.length > 0) world.unsubscribe()
        assert.strictEqual(world.state.size, 0)
        assert.deepStrictEqual(Array.from(world.state.all()), [])
      }),
      { numRuns: Number(process.env["MEMBERSHIP_RUNS"] ?? 80) }
    )
  })
})
