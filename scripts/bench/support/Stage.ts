import { type Database, insertLsn, startDatabase } from "./Cluster.ts"
import { eventually, nowMillis, sleep } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { confirmedLsn } from "./RawPostgres.ts"
import { lsnOfOffset, newest } from "./ShapeReader.ts"
import { type Service, type ServiceOptions, startService, storageDirectory } from "./ServiceProcess.ts"

export const slotName = "electric_slot_default"
export const publicationName = "electric_publication_default"

/** A database of the benchmark's own and the service on it. */
export interface Stage {
  readonly database: Database
  readonly storage: string
  readonly start: (options?: Partial<ServiceOptions>) => Promise<Service>
}

/** `environment`: variables of every service that is started here. */
export const openStage = async (environment: Readonly<Record<string, string>> = {}): Promise<Stage> => {
  const database = await startDatabase()
  const storage = storageDirectory()
  return {
    database,
    storage,
    start: (options) =>
      startService({
        databaseUrl: database.url,
        storage,
        ...options,
        environment: { ...environment, ...options?.environment }
      })
  }
}

export interface Arrival {
  /** A request could have read everything. */
  readonly readableAt: number
  /** Postgres was told that everything is safe on disk. */
  readonly durableAt: number
}

/**
 * Waits until everything committed so far is readable and acknowledged. It commits one more row to see that, in a table
 * of its own: offsets are positions in the log of Postgres, so the newest offset of that table's shape tells.
 */
export const makeMarker = async (database: Database) => {
  await database.run("CREATE TABLE marker (id bigint PRIMARY KEY)")
  const session = await database.session()
  let last = 0
  return {
    /** Creates the shape, on the first start of the service. */
    prepare: async (port: number): Promise<void> => {
      const connection = await HttpConnection.open(port)
      await newest(connection, "table=marker")
      connection.close()
    },
    commit: async (): Promise<bigint> => {
      const lsn = await insertLsn(database)
      await session.query(`INSERT INTO marker VALUES (${++last})`)
      return lsn
    },
    /** When a request could have read everything up to the LSN. */
    readable: async (port: number, lsn: bigint): Promise<number> => {
      const connection = await HttpConnection.open(port)
      try {
        await eventually("the marker to be readable", 300_000, 2, async () =>
          lsnOfOffset((await newest(connection, "table=marker")).offset) < lsn ? undefined : true
        )
        return nowMillis()
      } finally {
        connection.close()
      }
    },
    /** It looks every `everyMillis`, which takes processor time of the service. */
    arrival: async (
      port: number,
      lsn: bigint,
      everyMillis = 4,
      deadlineMillis = 300_000
    ): Promise<Arrival> => {
      const connection = await HttpConnection.open(port)
      try {
        let readableAt = 0
        let durableAt = 0
        const reading = eventually("the marker to be readable", deadlineMillis, everyMillis, async () => {
          if (lsnOfOffset((await newest(connection, "table=marker")).offset) < lsn) return undefined
          readableAt = nowMillis()
          return readableAt
        })
        const acknowledging = eventually(
          "the marker to be acknowledged",
          deadlineMillis,
          everyMillis,
          async () => {
            if ((await confirmedLsn(database, slotName)) < lsn) return undefined
            durableAt = nowMillis()
            return durableAt
          }
        )
        await Promise.all([reading, acknowledging])
        return { readableAt, durableAt }
      } finally {
        connection.close()
      }
    }
  }
}

export type Marker = Awaited<ReturnType<typeof makeMarker>>

/** Keeps the service out of the way while a floor is measured. */
export const frozen = async <A>(service: Service, work: () => Promise<A>): Promise<A> => {
  service.signal("SIGSTOP")
  await sleep(5)
  try {
    return await work()
  } finally {
    service.signal("SIGCONT")
  }
}
