import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { goThroughTakeover } from "../../src/practice/GoThroughTakeover.ts"
import { makeSnapshotter } from "../../src/registry/snapshot/Snapshotter.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { testConfig } from "../http/support/harness.ts"
import { sessionsOf } from "../registry/snapshot-support.ts"
import { adminOf } from "../replication/support.ts"

const db = databaseForFile()

/** What a practice must leave as it is. */
const traces = () =>
  db()
    .query(`SELECT (SELECT count(*) FROM pg_publication)::int AS publications, (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())::int AS slots,
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))::int AS locks`)

describe("a takeover for practice, beside a database", () => {
  it.live("comes to its end, and leaves no publication, no slot and no lock there", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const before = yield* Effect.promise(traces)
        const admin = yield* adminOf(db())
        const snapshotter = makeSnapshotter(yield* sessionsOf(db()), 1_000_000, systemTimers)
        yield* goThroughTakeover(testConfig(), { admin, snapshotter })
        assert.deepStrictEqual(yield* Effect.promise(traces), before)
      })
    )
  )
})
