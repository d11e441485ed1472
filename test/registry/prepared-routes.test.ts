import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Relation } from "../../src/postgres/Relation.ts"
import type { MakeMatcher } from "../../src/registry/routing/Matcher.ts"
import { PreparedRoutes } from "../../src/registry/routing/PreparedRoutes.ts"
import { internDefinition } from "../../src/shapes/InternDefinition.ts"
import { ShapeState } from "../../src/storage/state/ShapeState.ts"
import { definitionOf } from "../storage/support.ts"

const columns = [{ name: "id", typeOid: 20, typeModifier: -1, isKey: true }]
const relation: Relation = { oid: 1, schema: "public", name: "t", replicaIdentity: "f", columns }

const shape = (id: number, handle = `${id}-1`) =>
  ShapeState.made(id, handle, internDefinition(definitionOf("t")), `i${id}`, 0)

/** Shapes that are followed. Counts how often one is looked at. */
const followed = (...all: ReadonlyArray<ShapeState>) => {
  const shapes = {
    live: [...all],
    looks: 0,
    redefinitions: 0,
    nextId: Math.max(0, ...all.map(({ id }) => id)) + 1,
    get: (id: number) => shapes.live.find((one) => one.id === id),
    all: (id: number) =>
      shapes.live.filter((one) => {
        if (one.id >= id) shapes.looks++
        return one.id >= id
      }),
    add: (one: ShapeState) => {
      shapes.live.push(one)
      shapes.nextId = Math.max(shapes.nextId, one.id + 1)
    },
    drop: (one: ShapeState, routes: PreparedRoutes) => {
      one.dropped = "gone"
      shapes.live = shapes.live.filter((other) => other !== one)
      routes.dropped(one)
    }
  }
  return shapes
}

/** Counts what is compiled, and remembers who is in. */
const counting = () => {
  let compiled = 0
  const members = new Set<number>()
  const makeMatcher: MakeMatcher = () => ({
    add: (id) => {
      compiled++
      members.add(id)
      return true
    },
    remove: (id) => void members.delete(id),
    match: () => 0,
    takesAll: () => false
  })
  return { makeMatcher, members, compiled: () => compiled }
}

describe("routes that a waiting instance prepares", () => {
  it.effect("are compiled once, however often it looks, and forget shapes that are dropped", () =>
    Effect.gen(function* () {
      const { compiled, makeMatcher, members } = counting()
      const routes = new PreparedRoutes(makeMatcher)
      const [first = shape(1), ...others] = Array.from({ length: 200 }, (_, i) => shape(i + 1))
      const shapes = followed(first, ...others)
      yield* routes.prepare(shapes)
      yield* routes.prepare(shapes)
      assert.strictEqual(compiled(), 200)
      shapes.drop(first, routes)
      assert.isFalse(members.has(1))
      assert.strictEqual(members.size, 199)
    })
  )

  it.effect(
    "cost no look at shapes that are known, of which there may be a million, when some come and go",
    () =>
      Effect.gen(function* () {
        const { makeMatcher, members } = counting()
        const routes = new PreparedRoutes(makeMatcher)
        const shapes = followed(shape(7), shape(3), shape(5))
        for (let i = 0; i < 3; i++) yield* routes.prepare(shapes)
        assert.strictEqual(shapes.looks, 3)
        shapes.add(shape(8))
        yield* routes.prepare(shapes)
        assert.strictEqual(shapes.looks, 4)
        // One comes and one goes between two looks.
        const [gone = shape(1)] = shapes.live
        shapes.drop(gone, routes)
        shapes.add(shape(9))
        yield* routes.prepare(shapes)
        assert.strictEqual(shapes.looks, 5)
        assert.deepStrictEqual([...members].toSorted(), [3, 5, 8, 9])
        routes.forget()
        yield* routes.prepare(shapes)
        assert.strictEqual(shapes.looks, 9)
      })
  )

  it.effect("are those of storage that was loaded again, without being compiled again", () =>
    Effect.gen(function* () {
      const { compiled, makeMatcher, members } = counting()
      const routes = new PreparedRoutes(makeMatcher)
      const before = followed(shape(1), shape(2), shape(3))
      yield* routes.prepare(before)
      for (const one of before.live.slice(2)) one.dropped = "gone"
      const after = followed(shape(1), shape(2), shape(4))
      yield* routes.prepare(after)
      assert.strictEqual(compiled(), 4)
      assert.deepStrictEqual([...members].toSorted(), [1, 2, 4])
      // They are the ones that go now.
      for (const one of after.live) after.drop(one, routes)
      assert.strictEqual(members.size, 0)
    })
  )

  it.effect("are right about the shapes that there are when they are taken, and taken once", () =>
    Effect.gen(function* () {
      const { compiled, makeMatcher, members } = counting()
      const routes = new PreparedRoutes(makeMatcher)
      yield* routes.prepare(followed(shape(1), shape(2), shape(3)))
      // 2 is gone, 3 is another shape under the same number, 4 was not there yet.
      const live = new Set([shape(1), shape(3, "3-2"), shape(4)])
      const target = routes.take(1, relation, live)?.target
      for (const one of live) assert.isTrue(target?.add(one))
      assert.deepStrictEqual([...members].toSorted(), [1, 3, 4])
      assert.strictEqual(target?.size, 3)
      assert.strictEqual(compiled(), 5)
      assert.isUndefined(routes.take(1, relation, live))
    })
  )

  it.effect("do not serve rows of other columns, or of other types", () =>
    Effect.gen(function* () {
      const { makeMatcher } = counting()
      const routes = new PreparedRoutes(makeMatcher)
      yield* routes.prepare(followed(shape(1)))
      const others: ReadonlyArray<Relation["columns"]> = [
        columns.map((column) => ({ ...column, typeOid: 23 })),
        columns.map((column) => ({ ...column, name: "number" })),
        [...columns, { name: "b", typeOid: 25, typeModifier: -1, isKey: false }]
      ]
      for (const other of others)
        assert.isUndefined(routes.take(1, { ...relation, columns: other }, new Set()))
      assert.isUndefined(routes.take(2, { ...relation, oid: 2 }, new Set()))
      assert.isDefined(routes.take(1, relation, new Set()))
    })
  )
})
