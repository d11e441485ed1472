/**
 * What Baton relies on, tried on a store that is nobody's imitation: Ceph's S3 gateway, started for it.
 *
 *   node scripts/bucket-ceph.ts [--port 24000] [--races 1000] [--directory <to start it in>]
 *   node scripts/bucket-ceph.ts --bucket s3://name/prefix --endpoint https://… [--region …] [--path-style true]
 *
 * The second form tries another store, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; it makes and removes some
 * thousand small objects below the prefix. The cases are those of `testing/bucket/conformance.ts`, beside them races of four writers
 * for one key, and the probe with which Baton starts. `scripts/ceph-rgw.sh` says what has to be installed for the first form.
 */
import { randomUUID } from "node:crypto"
import { parseArgs } from "node:util"
import { Effect } from "effect"
import { openBucket } from "../src/bucket/OpenBucket.ts"
import { probeBucket } from "../src/bucket/ProbeBucket.ts"
import type { BucketConfig } from "../src/config/BucketConfig.ts"
import { systemTimers } from "../src/shared/Timers.ts"
import { conformanceCases, races } from "../testing/bucket/conformance.ts"
import { beginRealBucket, bucketOptions } from "../testing/bucket/RealBucket.ts"

const { values: options } = parseArgs({
  options: {
    ...bucketOptions,
    races: { type: "string", default: "1000" }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)

const median = (millis: ReadonlyArray<number>): string =>
  (millis.toSorted((a, b) => a - b)[Math.floor(millis.length / 2)] ?? Number.NaN).toFixed(1)

const cases = (bucket: BucketConfig) =>
  Effect.gen(function* () {
    const folder = `try-${randomUUID()}`
    const stores = { one: yield* openBucket(bucket, folder), other: yield* openBucket(bucket, folder) }
    say(`${stores.one.name}`)
    const all = [
      { name: "the probe", run: () => probeBucket(stores.one, systemTimers) },
      ...conformanceCases(1203),
      {
        name: `${options.races} races of 4 writers have one winner each`,
        run: () => races(stores, Number(options.races), 8)
      }
    ]
    let failed = 0
    for (const { name, run } of all) {
      const began = performance.now()
      const error = yield* Effect.promise(() =>
        run(stores).then(
          () => undefined,
          (thrown: unknown) => thrown
        )
      )
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      say(`${error === undefined ? "ok    " : "FAILED"} ${seconds.padStart(6)} s  ${name}`)
      if (error === undefined) continue
      failed++
      say(`       ${error instanceof Error ? error.message.replaceAll("\n", "\n       ") : String(error)}`)
    }
    const times = { create: [] as Array<number>, get: [] as Array<number> }
    const keys = Array.from({ length: 100 }, (_, i) => `times/${i}`)
    const body = Buffer.alloc(10_000, "x")
    for (const key of keys)
      for (const [what, ask] of [
        ["create", () => stores.one.create(key, [body])],
        ["get", () => stores.other.get(key)]
      ] as const) {
        const began = performance.now()
        yield* Effect.promise<unknown>(ask)
        times[what].push(performance.now() - began)
      }
    yield* Effect.promise(() => stores.one.remove(keys))
    say(`Medians of 100 objects of 10 kB: create ${median(times.create)} ms, get ${median(times.get)} ms`)
    say(`${all.length - failed} passed, ${failed} failed`)
    return failed
  })

const { config, end } = beginRealBucket(options)
try {
  const failed = await Effect.runPromise(Effect.scoped(cases(config)))
  process.exitCode = failed === 0 ? 0 : 1
} finally {
  end()
}
