import { assert, expect, it } from "vitest"
import { hostileKinds } from "../../testing/runs/HostileRequests.ts"
import { hostileRuns, processState } from "../../testing/runs/HostileRuns.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

const db = databaseForFile((database) =>
  database.query("CREATE TABLE victims (id int PRIMARY KEY, t text); INSERT INTO victims VALUES (1, 'kept')")
)

it(
  "hostile requests of every kind get a 4xx that tells nothing, and leave nothing behind",
  { timeout: patient(60_000) },
  async () => {
    const seed = freshSeed()
    const secret = "the-secret-of-the-house"
    await using service = await startService({
      database: db(),
      env: { ELECTRIC_SECRET: secret, ELECTRIC_INSECURE: undefined }
    })
    const before = processState(service.pid)
    const { answers, problems } = await hostileRuns({
      port: service.port,
      target: { table: "victims", secret },
      random: makeRandom(seed),
      seconds: 3,
      attackers: 8
    })
    assert.deepStrictEqual(problems, [], `with seed ${seed}`)
    expect(Object.keys(answers)).toEqual(
      expect.arrayContaining(hostileKinds.filter((kind) => kind !== "leaves in the middle"))
    )
    if (before !== undefined)
      await eventually(
        "connections to be closed",
        // Connections to the database, to spare: they are made when they are needed.
        () => (processState(service.pid)?.openFiles ?? 0) <= before.openFiles + 20
      )
    assert.notInclude(service.logs(), secret)
    assert.deepStrictEqual(await db().query("SELECT * FROM victims"), [{ id: 1, t: "kept" }])
    const answer = await fetch(`${service.url}/v1/shape?table=victims&offset=-1&secret=${secret}`)
    assert.strictEqual(answer.status, 200)
  }
)
