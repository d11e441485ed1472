import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, it } from "@effect/vitest"
import { DirectoryStore } from "../../src/bucket/DirectoryStore.ts"
import { fixedKeys } from "../../src/bucket/KeySource.ts"
import { S3Store } from "../../src/bucket/S3Store.ts"
import type { S3Place } from "../../src/config/BucketConfig.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { conformanceCases, races, type StoresUnderTest } from "../../testing/bucket/conformance.ts"
import { startFakeS3 } from "../../testing/bucket/FakeS3.ts"
import { FaultyStore } from "../../testing/bucket/FaultyStore.ts"
import { MemoryStore } from "../../testing/bucket/MemoryStore.ts"

const directory = mkdtempSync(join(tmpdir(), "bucket-"))
const fake = await startFakeS3({ pageKeys: 100 })
afterAll(async () => {
  await fake.close()
  rmSync(directory, { recursive: true })
})

const storeOf = (place: S3Place): S3Store => {
  if (place.keys === undefined) throw new Error("the fake has keys")
  return new S3Store({ place, folder: "stream/v1", keys: fixedKeys(place.keys), timers: systemTimers })
}
const place = fake.place("some prefix+é")
const memory = new MemoryStore(undefined, () => Date.now())

const stores: Readonly<Record<string, StoresUnderTest>> = {
  DirectoryStore: {
    one: new DirectoryStore(directory, "stream/v1"),
    other: new DirectoryStore(directory, "stream/v1")
  },
  "S3Store on a server of the tests": { one: storeOf(place), other: storeOf(place) },
  MemoryStore: { one: memory, other: new FaultyStore(memory) }
}

for (const [name, under] of Object.entries(stores))
  describe(name, () => {
    for (const { name: promise, run } of conformanceCases(230)) it(promise, () => run(under))
    it("200 races of 4 writers have one winner each", () => races(under, 200, 10))
  })
