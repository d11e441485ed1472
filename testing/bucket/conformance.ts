import assert from "node:assert/strict"
import { createHash, randomBytes, randomUUID } from "node:crypto"
import { compareKeys } from "../../src/bucket/KeyPath.ts"
import type { ObjectInfo, ObjectStore } from "../../src/bucket/ObjectStore.ts"
import { makeRandom } from "../Random.ts"

/** The same bucket, seen by two clients. Every case uses keys below a name of its own. */
export interface StoresUnderTest {
  readonly one: ObjectStore
  readonly other: ObjectStore
}

export interface ConformanceCase {
  readonly name: string
  readonly run: (stores: StoresUnderTest) => Promise<void>
}

const bytesOf = (text: string): Buffer => Buffer.from(text)

const sum = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const listed = async (
  store: ObjectStore,
  prefix: string,
  after?: string
): Promise<ReadonlyArray<ObjectInfo>> => {
  const found: Array<ObjectInfo> = []
  for await (const info of store.list(prefix, after)) found.push(info)
  return found
}

const keysOf = async (store: ObjectStore, prefix: string, after?: string): Promise<ReadonlyArray<string>> =>
  (await listed(store, prefix, after)).map(({ key }) => key)

/** Parts of keys that URLs, XML, signatures and file systems treat in ways of their own. */
const oddParts = [
  "plain",
  "with space",
  "plus+and&amp;",
  "percent%41%",
  "question?hash#",
  "'quotes\"",
  "(round)!*",
  "a=b;c,d:e@f$g",
  "<angle>",
  "back\\slash|pipe",
  "~tilde^`{brace}[]",
  ".hidden",
  "é, 漢字 and 𝄞",
  "…",
  "UPPER",
  "upper"
]

const race = async ({ one, other }: StoresUnderTest, key: string, writers: number): Promise<void> => {
  const bodies = Array.from({ length: writers }, (_, writer) => bytesOf(`${writer}: ${randomUUID()}`))
  const outcomes = await Promise.all(bodies.map((body, i) => (i % 2 === 0 ? one : other).create(key, [body])))
  const winners = bodies.filter((_, i) => outcomes[i] === "created")
  assert.equal(winners.length, 1, `${key} has ${winners.length} winners: ${outcomes.join(" ")}`)
  assert.deepEqual(await other.get(key), winners[0], `what is read of ${key} is the winner's`)
}

export const races = async (stores: StoresUnderTest, times: number, atOnce: number): Promise<void> => {
  const folder = `races-${randomUUID()}/`
  for (let done = 0; done < times; done += atOnce) {
    const keys = Array.from({ length: Math.min(atOnce, times - done) }, (_, i) => `${folder}${done + i}`)
    await Promise.all(keys.map((key) => race(stores, key, 4)))
  }
  const all = await keysOf(stores.one, folder)
  assert.equal(all.length, times)
  await stores.other.remove(all)
}

/** What every object store must do: Baton relies on all of it. `many`: keys that are more than a page of a listing. */
export const conformanceCases = (many: number): ReadonlyArray<ConformanceCase> => [
  {
    name: "an object is created once, and is there for everybody",
    run: async ({ one, other }) => {
      const key = `once-${randomUUID()}/object`
      assert.equal(await other.get(key), undefined)
      assert.equal(await one.create(key, [bytesOf("first"), bytesOf(""), bytesOf(" part")]), "created")
      assert.equal(await one.create(key, [bytesOf("second")]), "exists")
      assert.equal(await other.create(key, [bytesOf("first part")]), "exists")
      assert.deepEqual(await other.get(key), bytesOf("first part"))
    }
  },
  {
    name: "an empty object is one",
    run: async ({ one, other }) => {
      const key = `empty-${randomUUID()}`
      assert.equal(await one.create(key, []), "created")
      assert.deepEqual(await other.get(key), Buffer.alloc(0))
      assert.equal(await other.create(key, [bytesOf("x")]), "exists")
      assert.equal((await listed(other, key))[0]?.bytes, 0)
    }
  },
  {
    name: "16 MB come back as they went",
    run: async ({ one, other }) => {
      const key = `large-${randomUUID()}`
      const pieces = Array.from({ length: 16 }, () => randomBytes(1 << 20))
      assert.equal(await one.create(key, pieces), "created")
      const found = await other.get(key)
      assert.equal(found?.length, 16 << 20)
      assert.equal(sum(found ?? Buffer.alloc(0)), sum(Buffer.concat(pieces)))
      const part = await other.get(key, { from: (1 << 20) - 3, to: (2 << 20) + 5 })
      assert.equal(
        sum(part ?? Buffer.alloc(0)),
        sum(Buffer.concat(pieces).subarray((1 << 20) - 3, (2 << 20) + 5))
      )
    }
  },
  {
    name: "a part is what was asked for, as far as there is any",
    run: async ({ one, other }) => {
      const key = `parts-${randomUUID()}`
      const content = bytesOf("0123456789")
      await one.create(key, [content])
      for (const [from, to] of [
        [0, 1],
        [0, 10],
        [3, 7],
        [9, 10],
        [8, 20],
        [10, 11],
        [50, 60]
      ] as const) {
        assert.deepEqual(await other.get(key, { from, to }), content.subarray(from, to), `${from} to ${to}`)
      }
      assert.equal(await other.get(`${key}-absent`, { from: 0, to: 1 }), undefined)
    }
  },
  {
    name: "keys keep every character",
    run: async ({ one, other }) => {
      const folder = `odd-${randomUUID()}/`
      const keys = oddParts.flatMap((part) => [`${folder}${part}`, `${folder}in/${part}/here`])
      for (const key of keys) assert.equal(await one.create(key, [bytesOf(key)]), "created", key)
      for (const key of keys) {
        assert.deepEqual(await other.get(key), bytesOf(key), key)
        assert.equal(await other.create(key, [bytesOf("x")]), "exists", key)
      }
      assert.deepEqual(await keysOf(other, folder), keys.toSorted(compareKeys))
      for (const key of keys)
        assert.deepEqual(
          await keysOf(other, folder, key),
          keys.filter((it) => compareKeys(it, key) > 0).toSorted(compareKeys)
        )
      await other.remove(keys)
      assert.deepEqual(await keysOf(one, folder), [])
    }
  },
  {
    name: "a listing has the keys with a prefix, behind another one, in the order of their bytes",
    run: async ({ one, other }) => {
      const folder = `list-${randomUUID()}/`
      const random = makeRandom(7)
      const parts = ["a", "a-b", "a.b", "b", "B", "ab", "0", "00000000000000000001", "é", "z"]
      const keys = new Set<string>()
      for (let i = 0; i < 60; i++) {
        const depth = random.int(1, 3)
        // The last part is that of a file, and the others are those of folders.
        const names = Array.from(
          { length: depth },
          (_, at) => random.pick(parts) + (at === depth - 1 ? ".o" : "")
        )
        keys.add(names.join("/"))
      }
      const all = [...keys].map((key) => folder + key).toSorted(compareKeys)
      await Promise.all(all.map((key) => one.create(key, [bytesOf(key)])))
      assert.deepEqual(
        (await listed(other, folder)).map(({ bytes, key }) => [key, bytes]),
        all.map((key) => [key, bytesOf(key).length])
      )
      for (const prefix of ["", "a", "a/", "a-", "b/a", "0", "none"]) {
        const within = all.filter((key) => key.startsWith(folder + prefix))
        assert.deepEqual(await keysOf(other, folder + prefix), within, `of ${prefix}`)
        for (const after of [
          ...within.filter((_, i) => i % 5 === 0),
          `${folder}a/`,
          `${folder}a~`,
          `${folder}zz`
        ]) {
          const behind = within.filter((key) => compareKeys(key, after) > 0)
          assert.deepEqual(await keysOf(other, folder + prefix, after), behind, `of ${prefix} after ${after}`)
        }
      }
      await one.remove(all)
    }
  },
  {
    name: "a listing of many has pages, and need not be read to its end",
    run: async ({ one, other }) => {
      const folder = `pages-${randomUUID()}/`
      const keys = Array.from({ length: many }, (_, i) => `${folder}${String(i).padStart(20, "0")}`)
      for (let at = 0; at < keys.length; at += 50)
        await Promise.all(keys.slice(at, at + 50).map((key) => one.create(key, [bytesOf("x")])))
      assert.deepEqual(await keysOf(other, folder), keys)
      assert.deepEqual(await keysOf(other, folder, keys[many - 10]), keys.slice(many - 9))
      assert.deepEqual(await keysOf(other, folder, keys[many - 1]), [])
      for await (const { key } of other.list(folder)) {
        assert.equal(key, keys[0])
        break
      }
      await one.remove(keys)
      assert.deepEqual(await keysOf(other, folder), [])
    }
  },
  {
    name: "times are those of one clock, and do not change",
    run: async ({ one, other }) => {
      const folder = `times-${randomUUID()}/`
      await one.create(`${folder}a`, [bytesOf("a")])
      const [first] = await listed(other, folder)
      await other.create(`${folder}b`, [bytesOf("b")])
      await other.create(`${folder}a`, [bytesOf("again")])
      const [a, b] = await listed(one, folder)
      assert.deepEqual(a, first)
      assert.ok(a !== undefined && b !== undefined)
      // Some keep whole seconds.
      assert.ok(b.modifiedMillis - a.modifiedMillis > -1000 && b.modifiedMillis - a.modifiedMillis < 600_000)
      assert.ok(Math.abs(a.modifiedMillis - Date.now()) < 86_400_000)
    }
  },
  {
    name: "what was removed is not there, and may be created again; what is not there may be removed",
    run: async ({ one, other }) => {
      const folder = `removed-${randomUUID()}/`
      const keys = Array.from({ length: 40 }, (_, i) => `${folder}${i}`)
      for (const key of keys) await one.create(key, [bytesOf("x")])
      await other.remove([...keys.slice(0, 39), `${folder}absent`, `${folder}nor/this`])
      assert.deepEqual(await keysOf(one, folder), keys.slice(39))
      assert.equal(await one.get(keys[0] ?? ""), undefined)
      assert.equal(await one.create(keys[0] ?? "", [bytesOf("y")]), "created")
      await other.remove([])
    }
  },
  {
    name: "of many who create one key at once exactly one succeeds, and its bytes are there",
    run: async (stores) => {
      await races(stores, 50, 5)
      await race(stores, `crowd-${randomUUID()}`, 32)
    }
  },
  {
    name: "who reads while others create sees nothing or the whole object",
    run: async ({ one, other }) => {
      const folder = `halves-${randomUUID()}/`
      const body = Buffer.alloc(300_000, "b")
      for (let i = 0; i < 10; i++) {
        const key = `${folder}${i}`
        const creating = one.create(key, [body])
        const done = creating.then(() => "done" as const)
        let seen: Buffer | undefined | "done"
        do {
          seen = await Promise.race([done, other.get(key)])
          const isHalf = Buffer.isBuffer(seen) && !seen.equals(body)
          assert.ok(!isHalf, `half of ${key} was seen`)
        } while (seen !== "done")
        assert.equal(await creating, "created")
        assert.deepEqual(await other.get(key), body)
      }
    }
  }
]
