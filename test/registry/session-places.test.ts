import { assert, describe, it } from "vitest"
import { type Place, SessionPlaces } from "../../src/registry/snapshot/SessionPlaces.ts"
import { Random } from "../where/support/random.ts"

/** Places with names for who holds them; who is ended gives its place back when it is told to. */
class Scene {
  now = 0
  readonly places: SessionPlaces
  readonly holding = new Map<string, Place>()
  readonly ended: Array<string> = []

  constructor(size: number, subsets: number) {
    this.places = new SessionPlaces({ size, subsets, longMillis: 10, now: () => this.now })
  }

  take(name: string, shape: string | undefined): () => void {
    return this.places.take(shape, (place) => {
      this.holding.set(name, place)
      place.end = () => this.ended.push(name)
    })
  }

  takeAll(names: string, shape: string | undefined): void {
    for (const name of names) {
      this.now++
      this.take(name, shape)
    }
  }

  release(name: string): void {
    const place = this.holding.get(name)
    this.holding.delete(name)
    if (place !== undefined) this.places.release(place)
  }

  get held(): string {
    return [...this.holding.keys()].join("")
  }
}

describe("places for sessions", () => {
  it("are given in the order of asking, and some never to subsets", () => {
    const scene = new Scene(4, 3)
    scene.takeAll("abcd", "x")
    assert.strictEqual(scene.held, "abc")
    scene.takeAll("12", undefined)
    assert.strictEqual(scene.held, "abc1")
    scene.release("1")
    assert.strictEqual(scene.held, "abc2")
    scene.release("a")
    assert.strictEqual(scene.held, "bc2d")
    assert.isFalse(scene.places.isAwaited)
  })

  it("are given in turns to the shapes that wait", () => {
    const scene = new Scene(4, 3)
    scene.takeAll("abcdefgh", "big")
    scene.takeAll("s", "small")
    scene.release("a")
    assert.strictEqual(scene.held, "bcs", "before the others of the shape that has two")
    scene.release("s")
    assert.strictEqual(scene.held, "bcd")
  })

  it("are not given to a query that does not wait any more", () => {
    const scene = new Scene(1, 1)
    scene.takeAll("a", "x")
    const withdraw = scene.take("b", "x")
    scene.take("c", "x")
    withdraw()
    scene.release("a")
    assert.strictEqual(scene.held, "c")
  })

  it("long subsets beyond half give up when somebody waits, the youngest first, one for each who waits", () => {
    const scene = new Scene(8, 6)
    scene.takeAll("abcdef", "big")
    scene.now = 100
    scene.places.makeRoom()
    assert.deepStrictEqual(scene.ended, [], "nobody waits")
    scene.takeAll("s", "small")
    scene.places.makeRoom()
    scene.places.makeRoom()
    assert.deepStrictEqual(scene.ended, ["f"])
    scene.release("f")
    assert.strictEqual(scene.held, "abcdes")
    scene.takeAll("tuvw", "small")
    scene.places.makeRoom()
    assert.deepStrictEqual(scene.ended, ["f", "e", "d"], "half of six stay, whatever waits")
    scene.release("e")
    scene.release("d")
    // What is short now is not ended, however many wait.
    scene.now = 105
    scene.places.makeRoom()
    assert.strictEqual(scene.ended.length, 3)
  })

  it("first rows give up last, and half of them never", () => {
    const scene = new Scene(6, 4)
    scene.takeAll("12", undefined)
    scene.takeAll("ab", "x")
    scene.takeAll("34", undefined)
    scene.now = 100
    scene.takeAll("56789", undefined)
    scene.places.makeRoom()
    assert.deepStrictEqual(scene.ended, ["b", "a", "4"])
  })

  it("the only place is never taken away: nothing long would ever be done", () => {
    const scene = new Scene(1, 1)
    scene.takeAll("1", undefined)
    scene.now = 1000
    scene.takeAll("2", undefined)
    scene.places.makeRoom()
    assert.deepStrictEqual(scene.ended, [])
  })

  it("whatever happens, none is lost, none is given twice, and long ones keep half", () => {
    const seed = Date.now() % 1_000_000
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const size = 1 + random.below(8)
      const subsets = 1 + random.below(size)
      const scene = new Scene(size, subsets)
      let asked = 0
      for (let step = 0; step < 100; step++) {
        scene.now += random.below(4)
        const names = [...scene.holding.keys()]
        const what = random.below(4)
        if (what < 2) scene.take(`${asked++}`, random.chance(0.4) ? undefined : random.pick(["x", "y"]))
        else if (what === 2 && names.length > 0) scene.release(random.pick(names))
        else {
          scene.ended.length = 0
          scene.places.makeRoom()
          const stay = [...scene.holding.values()].filter(({ isEnding }) => !isEnding).length
          if (scene.ended.length > 0)
            assert.isAtLeast(stay, Math.max(1, Math.floor(subsets / 2)), `seed ${seed}`)
          for (const name of scene.ended) scene.release(name)
        }
        const held = [...scene.holding.values()]
        const ofSubsets = held.filter(({ shape }) => shape !== undefined).length
        assert.isAtMost(held.length, size, `seed ${seed}`)
        assert.isAtMost(ofSubsets, subsets, `seed ${seed}`)
        if (scene.places.isAwaited)
          assert.isTrue(held.length === size || ofSubsets === subsets, `a place is free: seed ${seed}`)
      }
      while (scene.holding.size > 0) scene.release([...scene.holding.keys()][0] ?? "")
      assert.isFalse(scene.places.isAwaited, `seed ${seed}`)
    }
  })
})
