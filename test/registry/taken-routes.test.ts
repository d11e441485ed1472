import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Relation } from "../../src/postgres/Relation.ts"
import type { MakeMatcher } from "../../src/registry/routing/Matcher.ts"
import { PreparedRoutes } from "../../src/registry/routing/PreparedRoutes.ts"
import { Routes } from "../../src/registry/routing/Routes.ts"
import type { RouterOptions } from "../../src/registry/routing/RouterOptions.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { definitionOf } from "../storage/support.ts"

const columns = [{ name: "id", typeOid: 20, typeModifier: -1, isKey: true }]
const described: Omit<Relation, "oid" | "name"> = { schema: "public", replicaIdentity: "f", columns }
const names = ["t", "u"]
const definitions = names.map((name, i) => {
  const definition = definitionOf(name)
  return { ...definition, table: { ...definition.table, oid: i + 1 } }
})

/** A matcher that tells which shapes are in it. */
const members = new WeakMap<object, Set<number>>()
const makeMatcher: MakeMatcher = () => {
  const ids = new Set<number>()
  const matcher = {
    add: (id: number) => {
      ids.add(id)
      return true
    },
    remove: (id: number) => void ids.delete(id),
    match: () => 0,
    takesAll: () => false
  }
  members.set(matcher, ids)
  return matcher
}

/** Storage that is followed, and loaded anew now and then: what happens meanwhile nobody is told. */
class Followed {
  store: ShapeStore
  readonly routes = new PreparedRoutes(makeMatcher)
  private readonly random: Random

  constructor(random: Random) {
    this.random = random
    this.store = this.freshStore()
  }

  private freshStore(): ShapeStore {
    return new ShapeStore({
      waiters: new Waiters(),
      chunkBytesThreshold: 1000,
      onDropped: (shape) => this.routes.dropped(shape)
    })
  }

  create(): void {
    this.put(this.store, this.store.nextId, this.random.int(0, 1))
  }

  private put(store: ShapeStore, id: number, on: number): void {
    const definition = definitions[on] ?? assert.fail()
    store.create(id, `${id}-1${this.random.int(0, 1)}`, definition, 0)
    store.apply({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    store.apply({ t: "complete", id, chunks: 0 })
    if (this.random.chance(0.5)) store.get(id)?.sleep(store.dormant)
  }

  drop(): void {
    const shape = this.any()
    if (shape !== undefined) this.store.drop(shape.id, "gone")
  }

  redefine(): void {
    const shape = this.any()
    const definition = this.random.pick(definitions)
    if (shape !== undefined) this.store.apply({ t: "redefined", id: shape.id, definition })
  }

  loadAnew(): void {
    const { store } = this
    const next = this.freshStore()
    for (const shape of store.all()) {
      if (this.random.chance(0.2)) continue
      const isOther = this.random.chance(0.1)
      this.put(next, shape.id, isOther ? this.random.int(0, 1) : shape.common.table.oid - 1)
    }
    next.nextId = Math.max(next.nextId, store.nextId)
    this.store = next
  }

  private any(): ShapeState | undefined {
    const all = [...this.store.all()]
    return all.length === 0 ? undefined : this.random.pick(all)
  }

  async prepare(): Promise<void> {
    const fiber = Effect.runFork(this.routes.prepare(this.store))
    if (this.random.chance(0.3)) fiber.interruptUnsafe()
    await Effect.runPromise(Fiber.await(fiber))
  }
}

const step = async (followed: Followed, random: Random): Promise<void> => {
  const dice = random.next()
  if (dice < 0.4) for (let n = random.int(1, 90); n > 0; n--) followed.create()
  else if (dice < 0.65) followed.drop()
  else if (dice < 0.7) followed.redefine()
  else if (dice < 0.78) followed.loadAnew()
  else await followed.prepare()
}

describe("the routes of an instance that takes over", () => {
  it("have exactly the shapes that there are, whatever was made ready of them and whatever came since", async () => {
    const seed = Number(process.env["TAKEN_SEED"] ?? freshSeed())
    const random = makeRandom(seed)
    for (let run = 0; run < 150; run++) {
      const followed = new Followed(random)
      for (let n = random.int(1, 25); n > 0; n--) await step(followed, random)
      const { routes: prepared, store } = followed
      const theirs = new Set([...store.all()].filter(() => random.chance(run % 3 === 0 ? 0.1 : 0)))
      const routes = new Routes({
        engine: { store } as RouterOptions["engine"],
        shapes: store.byTable,
        members: { has: (shape) => theirs.has(shape), shapes: theirs },
        makeMatcher,
        prepared
      })
      for (const [i, name] of names.entries()) {
        const [target = assert.fail()] = routes.make({ ...described, oid: i + 1, name }, []).targets
        const expected = [...store.all()].filter(
          (shape) => shape.common.table.oid === i + 1 && !theirs.has(shape)
        )
        const ids = expected.map(({ id }) => id)
        const found = [...(members.get(target.matcher) ?? [])]
        const what = `seed ${seed}, run ${run}, table ${name}`
        assert.deepStrictEqual(
          found.toSorted((a, b) => a - b),
          ids.toSorted((a, b) => a - b),
          what
        )
        assert.strictEqual(target.size, ids.length, what)
        assert.strictEqual(target.misfits.size, 0, what)
      }
    }
  })
})
