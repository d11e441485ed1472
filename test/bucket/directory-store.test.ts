import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { BucketFault, type BucketFaultKind } from "../../src/bucket/BucketFault.ts"
import { directoryFault } from "../../src/bucket/DirectoryFault.ts"
import { DirectoryStore } from "../../src/bucket/DirectoryStore.ts"
import { keyPartOf, pathOfKey } from "../../src/bucket/KeyPath.ts"

const parent = mkdtempSync(join(tmpdir(), "bucket-"))
afterAll(() => rmSync(parent, { recursive: true }))
let made = 0
const fresh = (): string => join(parent, `${++made}`)

const keysOf = async (store: DirectoryStore, prefix = ""): Promise<ReadonlyArray<string>> => {
  const keys: Array<string> = []
  for await (const { key } of store.list(prefix)) keys.push(key)
  return keys
}
const failure = async (asked: Promise<unknown>): Promise<BucketFault> => {
  const found = await asked.then(
    (answer) => answer,
    (error: unknown) => error
  )
  if (found instanceof BucketFault) return found
  throw new Error(`it was to fail with a fault, and gave ${String(found)}`)
}
const body = [Buffer.from("content")]

describe("a directory in place of a bucket", () => {
  it("is empty before it is made, and made with all above it", async () => {
    const directory = join(fresh(), "a/b")
    const store = new DirectoryStore(directory, "stream/v1")
    assert.isUndefined(await store.get("k"))
    assert.deepStrictEqual(await keysOf(store), [])
    await store.remove(["k"])
    assert.isFalse(existsSync(directory))
    await store.create("in/k", body)
    assert.deepStrictEqual(await keysOf(store), ["in/k"])
    assert.isTrue(existsSync(join(directory, "stream/v1/in/k")))
  })

  it("shows nothing that is not finished, and removes it after a day", async () => {
    const directory = fresh()
    const drafts = join(directory, "f/.unfinished")
    mkdirSync(drafts, { recursive: true })
    const nowSeconds = Date.now() / 1000
    for (const [name, ageHours] of [
      ["of-one-who-writes", 1],
      ["of-one-who-was-killed", 25]
    ] as const) {
      writeFileSync(join(drafts, name), "half")
      utimesSync(join(drafts, name), nowSeconds, nowSeconds - ageHours * 3600)
    }
    const store = new DirectoryStore(directory, "f")
    assert.deepStrictEqual(await keysOf(store), [])
    await store.create("k", body)
    assert.deepStrictEqual(await keysOf(store), ["k"])
    assert.deepStrictEqual(readdirSync(drafts), ["of-one-who-writes"])
  })

  it("leaves alone what is not its own: files and folders that begin with a dot, or whose names are of no key", async () => {
    const directory = fresh()
    mkdirSync(join(directory, "f/.snapshot/in"), { recursive: true })
    writeFileSync(join(directory, "f/.snapshot/in/k"), "x")
    writeFileSync(join(directory, "f/%zz"), "x")
    writeFileSync(join(directory, "f/%41"), "x")
    const store = new DirectoryStore(directory, "f")
    await store.create(".snapshot/in/k", body)
    assert.deepStrictEqual(await keysOf(store), [".snapshot/in/k"])
    assert.isTrue(existsSync(join(directory, "f/%2Esnapshot/in/k")))
  })

  it("refuses a key that is below another one, and a root that is a file", async () => {
    const directory = fresh()
    const store = new DirectoryStore(directory, "f")
    await store.create("a", body)
    assert.include(await failure(store.create("a/b", body)), { kind: "refused", passing: false })
    assert.isUndefined(await store.get("a/b"))
    await store.create("c/d", body)
    assert.strictEqual(await store.create("c", body), "exists")
    assert.strictEqual((await failure(store.get("c"))).kind, "refused")
    writeFileSync(join(directory, "file"), "x")
    assert.strictEqual(
      (await failure(new DirectoryStore(join(directory, "file"), "f").create("k", body))).kind,
      "refused"
    )
  })

  it.each<readonly [string, BucketFaultKind]>([
    ["EACCES", "denied"],
    ["EROFS", "denied"],
    ["ENOENT", "noBucket"],
    ["ENOSPC", "failing"],
    ["ESTALE", "failing"],
    ["ETIMEDOUT", "timedOut"],
    ["ENAMETOOLONG", "refused"],
    ["ENOTSUP", "unsafe"],
    ["EWHAT", "failing"]
  ])("says what the disk says: %s is %s", (code, kind) => {
    const fault = directoryFault(
      "create",
      "file:///b/k",
      Object.assign(new Error(`${code}: words`), { code })
    )
    assert.include(fault, { kind, operation: "create", object: "file:///b/k" })
    assert.include(fault.message, code)
  })

  it("takes a name that is too long for what it is", async () => {
    assert.strictEqual(
      (await failure(new DirectoryStore(fresh(), "f").create("k".repeat(300), body))).kind,
      "refused"
    )
  })

  it("has one path for each key, and one key for each path", () => {
    const part = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 8 }),
      fc.constantFrom("", ".", "..", "%", "%2E", "a%", ".a", "a:b")
    )
    const key = fc.array(
      part.filter((text) => !text.includes("/") && text.isWellFormed()),
      { minLength: 1, maxLength: 4 }
    )
    fc.assert(
      fc.property(key, (parts) => {
        const path = pathOfKey(parts.join("/"))
        const names = path.split("/")
        assert.deepStrictEqual(names.map(keyPartOf), parts)
        for (const name of names) {
          assert.notMatch(name, /^\.|^$|[\p{Cc}:\\]/u)
          // A path is no other key's.
          assert.strictEqual(pathOfKey(keyPartOf(name) ?? "none"), name)
        }
      })
    )
  })
})
