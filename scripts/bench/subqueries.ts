import type { Client } from "pg"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis, sleep } from "./support/Clock.ts"
import { type Database, insertLsn } from "./support/Cluster.ts"
import { measureDrain } from "./support/Drain.ts"
import { drainFloorName } from "./support/DrainFloor.ts"
import { quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, write } from "./support/Items.ts"
import { probed, type Service } from "./support/ServiceProcess.ts"
import { beginning, newest, positionOf, readChanges, shapePath } from "./support/ShapeReader.ts"
import { createShapes, overConnections, tenantShape, whereShape } from "./support/ShapeSets.ts"
import { makeMarker, openStage } from "./support/Stage.ts"
import { median, percentile } from "./support/Statistics.ts"

/** Projects of each user: no two users share one, so that a row belongs to one shape, as with `tenant = k`. */
const links = 20
/** Rows of a project that moves. */
const movingRows = 20
/** Projects that only moves use, beyond those of all users. */
const movingProjects = 200
const flippers = 4

const userShape = (user: number): string =>
  whereShape(`tenant IN (SELECT project FROM members WHERE usr = ${user})`)

/** Users 0 to `users - 1`, with `links` projects each, and rows for the projects that will move. */
const fill = async (database: Database, users: number): Promise<void> => {
  await database.run(`
    CREATE TABLE members (usr int, project int, PRIMARY KEY (usr, project));
    INSERT INTO members SELECT u, u + l * ${users} FROM generate_series(0, ${users - 1}) u, generate_series(0, ${links - 1}) l;
    CREATE INDEX ON members (project);
    CREATE INDEX ON items (tenant);
    CREATE PROCEDURE flip(users int, flipper int, flips int, pause_ms float8) LANGUAGE plpgsql AS $$
    DECLARE
      next_at timestamptz := clock_timestamp();
      usr_ int; project_ int;
    BEGIN
      FOR n IN 1..flips LOOP
        usr_ := (n * ${flippers} + flipper) % users;
        project_ := users * ${links} + (n * ${flippers} + flipper) % ${movingProjects};
        DELETE FROM members WHERE usr = usr_ AND project = project_;
        IF NOT FOUND THEN INSERT INTO members VALUES (usr_, project_); END IF;
        COMMIT;
        next_at := next_at + make_interval(secs => pause_ms / 1000);
        PERFORM pg_sleep(greatest(0, extract(epoch FROM next_at - clock_timestamp())));
      END LOOP;
    END $$`)
}

const fillMoving = async (database: Database, users: number): Promise<void> => {
  await write(database, {
    first: 1_000_000_000,
    transactions: movingRows,
    rowsEach: movingProjects,
    tenants: movingProjects,
    firstTenant: users * links,
    unsynced: true
  })
}

/**
 * How fast rows of 1 shape each pass through so many shapes, behind a restart. What of that each row takes of the processor, and
 * what the restart takes, follows from many rows and few.
 */
const drainRates = async (
  shape: (index: number) => string,
  users: number,
  tenants: number,
  rows: number,
  runs: number,
  isMember: boolean
) => {
  const stage = await openStage()
  const { database } = stage
  await createItems(database)
  if (isMember) await fill(database, users)
  const marker = await makeMarker(database)
  let service = await stage.start()
  await marker.prepare(service.port)
  await createShapes(service.port, shape, 0, users)
  const rates: Array<number> = []
  const floors: Array<number> = []
  const cpuMicros: Array<number> = []
  const restarts: Array<number> = []
  let first = 1
  for (let run = 0; run < runs; run++) {
    const some = async (count: number): Promise<number> => {
      await write(database, {
        first,
        transactions: Math.ceil(count / 100),
        rowsEach: 100,
        tenants,
        unsynced: true
      })
      first += Math.ceil(count / 100) * 100
      return Math.ceil(count / 100) * 100
    }
    const drain = async (count: number) => {
      const drained = await measureDrain(
        stage,
        marker,
        service,
        () => some(100),
        () => some(count)
      )
      service = drained.service
      return drained
    }
    const few = await drain(rows / 10)
    const many = await drain(rows)
    const more = many.rows - few.rows
    rates.push(many.rows / (many.workMillis / 1000))
    floors.push(many.rows / (many.floorMillis / 1000))
    const micros = (1000 * (many.cpuMillis - few.cpuMillis)) / more
    cpuMicros.push(micros)
    restarts.push(many.cpuMillis - (many.rows * micros) / 1000)
  }
  await service.stop()
  return { rates, floors, cpuMicros, restarts }
}

/** From the answer to COMMIT to the rows, for a membership that comes and goes. */
const moveLatencies = async (service: Service, database: Database, users: number, moves: number) => {
  const session = await database.session()
  const connection = await HttpConnection.open(service.port)
  const latencies: Array<number> = []
  const project = users * links
  let position = await newest(connection, userShape(0))
  for (let i = 0; i < moves; i++) {
    const held = connection.request(shapePath(userShape(0), position, "&live=true"))
    await sleep(3 + Math.random() * 6)
    await session.query(
      i % 2 === 0
        ? `INSERT INTO members VALUES (0, ${project})`
        : `DELETE FROM members WHERE usr = 0 AND project = ${project}`
    )
    const committedAt = nowMillis()
    const reply = await held
    const changes = reply.body.toString().match(/"operation":"(?:insert|delete)"/g)?.length ?? 0
    if (changes !== movingRows) throw new Error(`${changes} changes came instead of ${movingRows}.`)
    latencies.push(reply.endAt - committedAt)
    position = positionOf(reply)
  }
  connection.close()
  await session.end()
  return latencies
}

/** When the shape is up to date with the LSN. */
const caughtUp = async (service: Service, shape: string, lsn: bigint): Promise<number> => {
  const connection = await HttpConnection.open(service.port)
  let position = await newest(connection, shape)
  await eventually("the moves", 120_000, 2, async () => {
    const reply = await connection.request(shapePath(shape, position))
    position = positionOf(reply)
    const seen = /"global_last_seen_lsn":"(\d+)"/.exec(reply.body.toString())?.[1]
    return seen !== undefined && BigInt(seen) >= lsn ? true : undefined
  })
  connection.close()
  return nowMillis()
}

const flipLoad = async (
  service: Service,
  database: Database,
  users: number,
  perSecond: number,
  seconds: number
): Promise<{ readonly rate: number; readonly lagMillis: number }> => {
  const sessions: ReadonlyArray<Client> = await Promise.all(
    Array.from({ length: flippers }, () => database.session())
  )
  const flips = Math.ceil((perSecond * seconds) / flippers)
  const began = nowMillis()
  await Promise.all(
    sessions.map((session, i) =>
      session.query(`CALL flip(${users}, ${i}, ${flips}, ${(1000 * flippers) / perSecond})`)
    )
  )
  const ended = nowMillis()
  const lsn = await insertLsn(database)
  await database.run("INSERT INTO marker VALUES (-1)")
  const at = await caughtUp(service, userShape(1), lsn)
  await Promise.all(sessions.map((session) => session.end()))
  return { rate: (flips * flippers) / ((ended - began) / 1000), lagMillis: at - ended }
}

/** A sample of the shapes holds what Postgres selects. */
const check = async (service: Service, database: Database, users: number): Promise<number> => {
  let rows = 0
  await overConnections(service.port, 4, 50, async (connection, i) => {
    const user = Math.floor((i * users) / 50)
    const held = new Set<string>()
    await readChanges(connection, userShape(user), beginning, ({ headers, key = "" }) => {
      if (headers.operation === "insert" ? held.has(key) : !held.has(key))
        throw new Error(`${headers.operation} of ${key} in the shape of user ${user}.`)
      if (headers.operation === "insert") held.add(key)
      if (headers.operation === "delete") held.delete(key)
    })
    const [row] = await database.run(
      `SELECT count(*) AS rows FROM items WHERE tenant IN (SELECT project FROM members WHERE usr = ${user})`
    )
    if (Number(row?.["rows"]) !== held.size)
      throw new Error(`User ${user} holds ${held.size} rows instead of ${String(row?.["rows"])}.`)
    rows += held.size
  })
  return rows
}

/** What is in use, after everything that is not has gone. */
const memoryInUse = async (service: Service): Promise<number> => {
  await quiet(service.pid, 60_000)
  const { arrayBuffers, heapUsed } = await service.collectGarbage()
  return heapUsed + arrayBuffers
}

export const benchmark: Benchmark = {
  name: "subqueries",
  summary: "shapes by membership: changes of their table, memberships that come and go, memory",
  options: { runs: 3, users: 10_000, rows: 200_000, flips: 1000, seconds: 10, moves: 200 },
  short: { runs: 1, users: 1000, rows: 20_000, flips: 500, seconds: 3, moves: 50 },
  run: async (options, say) => {
    const [runs, users, rows] = [option(options, "runs"), option(options, "users"), option(options, "rows")]
    const perSecond = option(options, "flips")
    const plain = await drainRates(tenantShape, users, users, rows, runs, false)
    say(
      `tenant = k: ${Math.round(median(plain.rates))} rows/s, ${median(plain.cpuMicros).toFixed(1)} us of a core each`
    )
    const member = await drainRates(userShape, users, users * links, rows, runs, true)
    say(
      `by membership: ${Math.round(median(member.rates))} rows/s, ${median(member.cpuMicros).toFixed(1)} us of a core each, ` +
        `and ${Math.round(median(member.restarts))} ms at a restart`
    )

    const stage = await openStage()
    const { database } = stage
    await createItems(database)
    await fill(database, users)
    await fillMoving(database, users)
    const marker = await makeMarker(database)
    const service = await stage.start({ nodeArguments: probed })
    await marker.prepare(service.port)
    await newest(await HttpConnection.open(service.port), tenantShape(-1))
    await createShapes(service.port, (i) => tenantShape(-2 - i), 0, users)
    const afterPlain = await memoryInUse(service)
    await createShapes(service.port, userShape, 0, users)
    const bytes = ((await memoryInUse(service)) - afterPlain) / users
    say(`${Math.round(bytes)} bytes per user's shape`)
    const latencies = await moveLatencies(service, database, users, option(options, "moves"))
    say(`a move after ${median(latencies).toFixed(1)} ms`)
    const lags: Array<number> = []
    const rates: Array<number> = []
    for (let run = 0; run < runs; run++) {
      const load = await flipLoad(service, database, users, perSecond, option(options, "seconds"))
      await database.run("DELETE FROM marker WHERE id = -1")
      rates.push(load.rate)
      lags.push(load.lagMillis)
      say(`${Math.round(load.rate)} flips/s, the last one after ${Math.round(load.lagMillis)} ms`)
    }
    const read = await check(service, database, users)
    await service.stop()
    const figures: ReadonlyArray<Figure> = [
      {
        what: `rows through ${users} shapes by membership`,
        unit: "rows/s",
        runs: member.rates,
        floor: { is: `the same rows through ${users} shapes \`tenant = k\``, runs: plain.rates },
        aim: "50 %"
      },
      {
        what: `rows through ${users} shapes \`tenant = k\``,
        unit: "rows/s",
        runs: plain.rates,
        floor: { is: drainFloorName, runs: plain.floors }
      },
      {
        what: "processor time of such a row",
        unit: "us",
        runs: member.cpuMicros,
        floor: { is: "with `tenant = k`", runs: plain.cpuMicros },
        aim: "twice"
      },
      {
        what: `processor time of a restart, for ${users} sub-selects with ${links * users} rows`,
        unit: "ms",
        runs: member.restarts
      },
      {
        what: "COMMIT of a membership to its rows, median",
        unit: "ms",
        runs: [median(latencies)],
        aim: "10 ms"
      },
      {
        what: "COMMIT of a membership to its rows, 99th percentile",
        unit: "ms",
        runs: [percentile(latencies, 0.99)]
      },
      { what: `memberships that come or go, ${movingRows} rows each`, unit: "per second", runs: rates },
      { what: "the last of them to be seen", unit: "ms", runs: lags, aim: "keeps up" },
      { what: `a user's shape with ${links} link values`, unit: "bytes", runs: [bytes] }
    ]
    return {
      figures,
      checked: `${read} rows of 50 users' shapes, as Postgres selects them`,
      environment: [database.description]
    }
  }
}
