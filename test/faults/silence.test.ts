import { assert, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import type { TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForTest, roleForTest, serviceForTest } from "./support/faults.ts"

interface StreamHealth {
  readonly status: string
  readonly cause?: string
  readonly roundTripMillis?: number
}

/** What `/v1/health?verbose` says of the stream. */
const streamOf = async ({ url }: TestService): Promise<StreamHealth | undefined> => {
  const response = await fetch(`${url}/v1/health?verbose`, { signal: AbortSignal.timeout(patient(5000)) })
  assert.strictEqual(response.status, 200)
  return ((await response.json()) as { readonly stream?: StreamHealth }).stream
}

const untilStream = (service: TestService, status: string, cause?: string): Promise<unknown> =>
  eventually(
    `a stream that is ${status}`,
    async () => {
      const seen = await streamOf(service)
      return (
        seen?.status === status &&
        seen.cause === cause &&
        (status !== "flowing" || seen.roundTripMillis !== undefined)
      )
    },
    patient(40_000)
  )

describe("a stream from which nothing comes", () => {
  it(
    "is told of while its walsender stands still, and goes on with it",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      await database.query("CREATE TABLE t (id int PRIMARY KEY)")
      const service = await serviceForTest({ database })
      const reader = new ShapeLogReader({ url: service.url, params: { table: "t" } })
      await reader.readToEnd()
      await untilStream(service, "flowing")
      const [row] = await database.query<{ pid: number }>(
        "SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1",
        [`electric_slot_${database.streamId}`]
      )
      const pid = row?.pid ?? 0
      const goOn = () => process.kill(pid, "SIGCONT")
      onTestFinished(() => void goOn())
      process.kill(pid, "SIGSTOP")
      await database.query("INSERT INTO t VALUES (1)")
      await untilStream(service, "silent", "walsenderStopped")
      // The plain answer is for those who do nothing but count.
      assert.strictEqual((await service.health())?.body, '{"status":"active"}')
      assert.match(
        service.logs(),
        /For 1\d s nothing is known to have come.*answers nothing.*It heals when it goes on/
      )
      goOn()
      await reader.followUntil("the row", () => reader.rows.size === 1)
      await untilStream(service, "flowing")
      assert.match(service.logs(), /Changes come from the database again/)
    }
  )

  it(
    "is not watched where the role may send no heartbeat, which is said",
    { timeout: patient(90_000) },
    async () => {
      const database = await databaseForTest()
      const role = await roleForTest(database, "REPLICATION")
      const emit = (change: string) =>
        database.query(
          `DO $$ DECLARE f regprocedure; BEGIN
           FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
             EXECUTE format('${change}', f);
           END LOOP; END $$`
        )
      await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`)
      await emit("REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC")
      const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
      await untilStream(service, "unwatched", "mayNotSend")
      await emit(`GRANT EXECUTE ON FUNCTION %s TO ${role.name}`)
      await untilStream(service, "flowing")
    }
  )
})
