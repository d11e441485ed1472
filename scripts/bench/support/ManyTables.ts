import { readdirSync, readFileSync } from "node:fs"
import { type Database, insertLsn } from "./Cluster.ts"
import { nowMillis } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { cpuMillis } from "./ProcessFacts.ts"
import { createSlot, dropSlot, readSlot } from "./RawPostgres.ts"
import { frozen, publicationName } from "./Stage.ts"
import type { Service } from "./ServiceProcess.ts"
import { type Change, newest, type Position, positionOf, shapePath } from "./ShapeReader.ts"

/** So many are made in one transaction: each takes a lock. */
const madeAtOnce = 500

/** `prefix0`, `prefix1` ... with a row each. */
export const makeTables = async (database: Database, prefix: string, count: number): Promise<void> => {
  for (let from = 0; from < count; from += madeAtOnce)
    await database.run(
      `DO $$ BEGIN FOR i IN ${from}..${Math.min(count, from + madeAtOnce) - 1} LOOP
         EXECUTE format('CREATE TABLE ${prefix}%s (id bigint PRIMARY KEY, title varchar(80))', i);
         EXECUTE format('INSERT INTO ${prefix}%s VALUES (0, ''first'')', i);
       END LOOP; END $$`
    )
}

/** A table with `count` partitions, `root_0` ...: one for each value of `part`. */
export const makeLeaves = async (database: Database, root: string, count: number): Promise<void> => {
  await database.run(
    `CREATE TABLE ${root} (part int, id bigint, title varchar(80), PRIMARY KEY (part, id)) PARTITION BY LIST (part)`
  )
  for (let from = 0; from < count; from += madeAtOnce)
    await database.run(
      `DO $$ BEGIN FOR i IN ${from}..${Math.min(count, from + madeAtOnce) - 1} LOOP
         EXECUTE format('CREATE TABLE ${root}_%s PARTITION OF ${root} FOR VALUES IN (%s)', i, i);
       END LOOP; END $$`
    )
}

/** The statements that make tables be published, all at once, by hand: tables per second. */
export const publishByHand = async (
  database: Database,
  publication: string,
  members: ReadonlyArray<string>,
  leaves: ReadonlyArray<string> = members
): Promise<number> => {
  await database.run(`CREATE PUBLICATION ${publication}`)
  const began = nowMillis()
  await database.run(
    `BEGIN; ${leaves.map((name) => `ALTER TABLE ONLY ${name} REPLICA IDENTITY FULL;`).join(" ")}
     ALTER PUBLICATION ${publication} ADD TABLE ONLY ${members.join(", ONLY ")}; COMMIT`
  )
  const millis = nowMillis() - began
  await database.run(`DROP PUBLICATION ${publication}`)
  return leaves.length / (millis / 1000)
}

/** One client of each shape, whose request is parked. */
export interface ParkedClients {
  /** When the last of them had been told of `id`, once each. */
  readonly told: (id: number) => Promise<number>
  readonly close: () => void
}

export const parkClients = async (
  port: number,
  shapes: ReadonlyArray<string>,
  messages = 1
): Promise<ParkedClients> => {
  const connections: Array<HttpConnection> = []
  const told: Array<Promise<Told>> = []
  for (const shape of shapes) {
    const connection = await HttpConnection.open(port)
    connections.push(connection)
    const first = untilTold(connection, shape, await newest(connection, shape), messages)
    first.catch(() => {})
    told.push(first)
  }
  return {
    told: async (id) => {
      let last = 0
      for (const { atMillis, ids } of await Promise.all(told)) {
        last = Math.max(last, atMillis)
        if (ids.length !== messages || ids.some((one) => one !== String(id)))
          throw new Error(
            `A client was told of ${ids.length} rows, among them ${ids[0]}, and not of row ${id}.`
          )
      }
      return last
    },
    close: () => connections.forEach((connection) => connection.close())
  }
}

interface Told {
  readonly atMillis: number
  readonly ids: ReadonlyArray<string | null | undefined>
}

/** Asks until there are so many messages: one that says that there is nothing ends no client. */
const untilTold = async (
  connection: HttpConnection,
  shape: string,
  from: Position,
  messages: number
): Promise<Told> => {
  const ids: Array<string | null | undefined> = []
  let position = from
  for (;;) {
    const reply = await connection.request(shapePath(shape, position, "&live=true"))
    position = positionOf(reply)
    for (const { headers, value } of JSON.parse(reply.body.toString()) as ReadonlyArray<Change>)
      if (headers.operation !== undefined) ids.push(value?.["id"])
    if (ids.length >= messages) return { atMillis: reply.endAt, ids }
  }
}

/** One transaction, and when Postgres had answered its COMMIT. */
export const commitAll = async (database: Database, statements: string): Promise<number> => {
  await database.run(`BEGIN; ${statements}`)
  await database.run("COMMIT")
  return nowMillis()
}

export const insertInto = (names: ReadonlyArray<string>, id: number): string =>
  names.map((name) => `INSERT INTO ${name} VALUES (${id}, 'row');`).join(" ")

/** The same transaction to a reader that throws it away, and that has not seen these tables before. */
export const bareReader = (database: Database, service: Service, statements: string): Promise<number> =>
  frozen(service, async () => {
    const slot = "bare_reader"
    await createSlot(database, slot)
    const reader = await readSlot(database, slot, publicationName)
    await reader.reached(await insertLsn(database))
    const arrived = new Promise<number>((resolve) => reader.onCommit((atMillis) => resolve(atMillis)))
    const committedAt = await commitAll(database, statements)
    const millis = (await arrived) - committedAt
    await reader.close()
    await dropSlot(database, slot)
    return millis
  })

const parentOf = (pid: number): number | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])
  } catch {
    return undefined
  }
}

/** Processor time of all that the database's processes have used. */
export const databaseCpu = async (database: Database): Promise<() => number> => {
  const [row] = await database.run("SELECT pg_backend_pid()::int4 AS pid")
  const postmaster = parentOf(Number(row?.["pid"]))
  const children = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && parentOf(pid) === postmaster)
  const now = () =>
    children.reduce((total, pid) => {
      try {
        return total + cpuMillis(pid)
      } catch {
        return total
      }
    }, 0)
  const before = now()
  return () => now() - before
}
