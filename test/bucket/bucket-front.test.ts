import { Redacted } from "effect"
import { assert, describe, it, onTestFinished } from "vitest"
import { fixedKeys } from "../../src/bucket/KeySource.ts"
import { S3Store } from "../../src/bucket/S3Store.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { startBucketFront } from "../../testing/bucket/BucketFront.ts"
import { startFakeS3 } from "../../testing/bucket/FakeS3.ts"

/** A store, and a client of the server in front of it. */
const place = async (clockRate?: number) => {
  const real = await startFakeS3({ bucket: "real" })
  const front = await startBucketFront(real.place("below"), "folder", clockRate)
  const { AWS_ACCESS_KEY_ID = "", BATON_BUCKET_ENDPOINT: endpoint } = front.environment("rounds", "machine-1")
  const keys = {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: Redacted.make("any"),
    sessionToken: undefined
  }
  const client = new S3Store({
    place: {
      ...real.place("below/folder/rounds"),
      endpoint,
      keys
    },
    folder: "",
    keys: fixedKeys(keys),
    timers: systemTimers
  })
  onTestFinished(async () => {
    await client.close()
    await real.close()
  })
  return { client, front, real }
}

const bytes = (text: string) => [Buffer.from(text)]

const infoOf = async (store: S3Store, key: string) => {
  for await (const info of store.list("")) if (info.key === key) return info
  throw new Error(`${key} is not listed`)
}

/** Of what it fails with. */
const kindOf = (asked: Promise<unknown>) => asked.catch((error: { kind: string }) => error.kind)

describe("a server in front of a store", () => {
  it("passes on what is asked, and leaves nothing behind", async () => {
    const { client, front, real } = await place()
    const key = "wal/a key+with%all/ä"
    assert.strictEqual(await client.create(key, bytes("one")), "created")
    assert.strictEqual(await client.create(key, bytes("two")), "exists")
    assert.strictEqual(String(await client.get(key)), "one")
    assert.strictEqual(String(await client.get(key, { from: 1, to: 2 })), "n")
    assert.isUndefined(await client.get("nothing"))
    assert.strictEqual((await infoOf(client, key)).bytes, 3)
    assert.deepStrictEqual(real.objects.keys(), [`below/folder/rounds/${key}`])
    assert.deepInclude(front.counter.create, { requests: 2, bytes: 6 })
    await front.close()
    assert.deepStrictEqual(real.objects.keys(), [])
  })

  it("loses answers, does what was sent later, and cuts one client off", async () => {
    const { client, front } = await place()
    const lost = front.faults.add({ _tag: "Unanswered" }, { operation: "create", client: "machine-1" })
    assert.strictEqual(await kindOf(client.create("lost", bytes("here"))), "unreachable")
    lost.end()
    assert.strictEqual(String(await client.get("lost")), "here")
    const late = front.faults.add({ _tag: "Late" }, { operation: "create" })
    assert.strictEqual(await kindOf(client.create("late", bytes("first"))), "unreachable")
    late.end()
    assert.strictEqual(await client.create("late", bytes("second")), "created")
    late.land()
    const cut = front.faults.add({ _tag: "Refuse", kind: "unreachable" }, { client: "machine-1" })
    assert.strictEqual(await kindOf(client.get("late")), "unreachable")
    cut.end()
    assert.strictEqual(String(await client.get("late")), "second", "the condition holds for a late one")
    await front.close()
  })

  it("makes the clock of the store run faster", async () => {
    const { client, front } = await place(3600)
    await client.create("one", bytes("1"))
    const before = (await infoOf(client, "one")).modifiedMillis
    let between = 0
    for (let i = 0; between < 60_000; i++) {
      await client.create(`more ${i}`, bytes("2"))
      between = (await infoOf(client, `more ${i}`)).modifiedMillis - before
    }
    assert.strictEqual((await infoOf(client, "one")).modifiedMillis, before)
    await front.close()
  })
})
