import { Effect, type Scope } from "effect"
import type { DatabaseTarget } from "../../src/config/BatonConfig.ts"
import { clientOptions } from "../../src/postgres/connection/ConnectionOptions.ts"
import { snapshotReadBytes } from "../../src/registry/snapshot/SnapshotSession.ts"
import { makeSnapshotSessions, type SnapshotSessions } from "../../src/registry/snapshot/SnapshotSessions.ts"
import type { DatabaseSnapshot } from "../../src/registry/snapshot/SnapshotTransaction.ts"
import type { SnapshotRequest } from "../../src/registry/snapshot/Snapshotter.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { plainConfig, targetOf } from "../postgres/connection.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"

/** Sessions that say in `pg_stat_activity` whose they are. */
export const sessionsOf = (
  database: TestDatabase,
  options: {
    readonly size?: number
    readonly subsets?: number
    readonly target?: Partial<DatabaseTarget>
    readonly acquireTimeoutMillis?: number
    /** From then on a query may be ended for others. */
    readonly contendedMillis?: number
  } = {}
): Effect.Effect<SnapshotSessions["Service"], never, Scope.Scope> =>
  makeSnapshotSessions({
    size: options.size ?? 2,
    options: clientOptions(targetOf(database, options.target), plainConfig, {
      applicationName: "baton snapshot",
      settings: {},
      readBufferBytes: snapshotReadBytes
    }),
    subject: {},
    ...(options.subsets === undefined ? {} : { subsets: options.subsets }),
    ...(options.contendedMillis === undefined
      ? {}
      : { limits: { contendedMillis: options.contendedMillis } }),
    ...(options.acquireTimeoutMillis === undefined
      ? {}
      : { acquireTimeoutMillis: options.acquireTimeoutMillis })
  })

/** The definition of a shape on an existing table, read from the catalogue; all columns unless said otherwise. */
export const definitionOf = async (
  database: TestDatabase,
  table: string,
  changes: Partial<ShapeDefinition> & { readonly whereSql?: string } = {}
): Promise<ShapeDefinition> => {
  const [found] = await database.query<{ oid: number; schema: string; name: string }>(
    "SELECT c.oid::int, nspname AS schema, relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = $1::regclass",
    [table]
  )
  const columns = await database.query<{ name: string; oid: number; key: number | null }>(
    `SELECT attname AS name, atttypid::int AS oid, array_position(conkey, attnum) AS key
     FROM pg_attribute LEFT JOIN pg_constraint ON conrelid = attrelid AND contype = 'p'
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table]
  )
  if (found === undefined) throw new Error(`There is no table ${table}.`)
  const names = columns.map(({ name }) => name)
  const key = columns
    .filter(({ key: place }) => place !== null)
    .toSorted((a, b) => Number(a.key) - Number(b.key))
  const { whereSql, ...members } = changes
  return {
    table: found,
    keyColumns: key.length > 0 ? key.map(({ name }) => name) : names,
    hasPrimaryKey: key.length > 0,
    columns: names,
    selectsAllColumns: true,
    where: whereSql === undefined ? undefined : { sql: whereSql, expression: {} },
    replica: "default",
    log: "full",
    tableColumns: columns.map(({ name, oid }) => ({ name, typeOid: oid })),
    schemaHeader: "{}",
    ...members
  }
}

export interface RowMessage {
  readonly key: string
  readonly value: Readonly<Record<string, string | null>>
  readonly headers: Readonly<Record<string, unknown>>
}

/** A sink that keeps everything, and a request that writes to it. */
export class Collected {
  readonly chunks: Array<string> = []
  readonly writes: Array<number> = []
  snapshots: Array<DatabaseSnapshot> = []
  ended = false
  private chunk = ""

  request<E = never>(
    definition: ShapeDefinition,
    changes: Partial<SnapshotRequest<E>> = {}
  ): SnapshotRequest<E> {
    return {
      definition,
      onSnapshot: (snapshot) => {
        this.snapshots.push(snapshot)
        return Effect.succeed("go" as const)
      },
      sink: {
        write: (bytes) =>
          Effect.sync(() => {
            this.writes.push(bytes.length)
            this.chunk += bytes.toString("utf8")
          }),
        endChunk: () => this.closeChunk,
        end: () =>
          Effect.andThen(
            this.closeChunk,
            Effect.sync(() => void (this.ended = true))
          )
      },
      ...changes
    }
  }

  private readonly closeChunk = Effect.sync(() => {
    this.chunks.push(this.chunk)
    this.chunk = ""
  })

  /** All messages, each chunk read as clients read it. */
  messages(): ReadonlyArray<RowMessage> {
    return this.chunks.flatMap((chunk) => JSON.parse(`[${chunk}]`) as ReadonlyArray<RowMessage>)
  }

  rows(): ReadonlyArray<RowMessage> {
    return this.messages().filter((message) => "key" in message)
  }
}
