import { Effect, Result } from "effect"
import { standardLimits } from "../../../src/config/Limits.ts"
import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import type { Subscription } from "../../../src/membership/Subscription.ts"
import { Lane } from "../../../src/registry/moves/Lane.ts"
import { makeClauseMatcher } from "../../../src/registry/routing/Matcher.ts"
import type { JournalWriter } from "../../../src/storage/journal/JournalWriter.ts"
import type { ShapeState } from "../../../src/storage/state/ShapeState.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { compileWhere, tableKey, type WhereClause } from "../../../src/where/index.ts"
import { column, table as tableOf } from "../../../testing/postgres/TableInfos.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"
import { typeCatalogue } from "./TypeCatalogueOf.ts"

/** Values that each user's sub-select gives, of which none is another user's. */
const links = 20

const integer = (name: string) => column(name, { typeOid: 23, typeName: "int4", collationOid: 0 })
const members = tableOf([integer("usr"), integer("project")], {
  oid: 16_500,
  name: "members",
  primaryKey: ["usr", "project"]
})

/** `tenant IN (SELECT project FROM members WHERE usr = k)`, for each user `k`. */
export const memberClauses = async (table: TableInfo, users: number): Promise<ReadonlyArray<WhereClause>> => {
  const catalogue = await typeCatalogue()
  const tables = new Map([[tableKey(members), members]])
  return Array.from({ length: users }, (_, user) => {
    const sql = `tenant IN (SELECT project FROM members WHERE usr = ${user})`
    const compiled = compileWhere({ sql, params: {}, table, catalogue, tables })
    if (Result.isFailure(compiled)) throw new Error(compiled.failure.message)
    return compiled.success
  })
}

const never = () => {
  throw new Error("not here")
}

/** A lane that asks nobody: what the sub-selects give is told by `enterAll`. */
export const memberLane = (engine: StorageEngine, writer: JournalWriter) => {
  const lane = new Lane({
    engine,
    writer,
    limits: standardLimits,
    sessions: { acquire: Effect.die("nothing is read") },
    makeMatcher: (membership) => makeClauseMatcher(standardLimits, undefined, membership),
    drop: never,
    directories: [],
    askForPosition: () => {},
    published: never,
    inspector: undefined as never,
    definedAnew: Effect.die("nothing is defined anew"),
    mending: undefined as never,
    positionLost: never
  })
  /** User `u` has the projects `u`, `u + users`, and so on. */
  const enterAll = (shapes: ReadonlyArray<ShapeState>): void => {
    const reservations = shapes.map((shape) => ({
      shape,
      reservation: lane.members.reserve(shape.definition)
    }))
    const all = new Set<Subscription>(reservations.flatMap(({ reservation }) => reservation.subscriptions))
    const loading = lane.members.state.load(all)
    const target = loading.target(members.oid, [
      { name: "usr", typeOid: 23 },
      { name: "project", typeOid: 23 }
    ])
    for (let user = 0; user < shapes.length; user++)
      for (let i = 0; i < links; i++)
        loading.add(target, tupleOf([String(user), String(user + i * shapes.length)]))
    loading.finish()
    for (const { reservation, shape } of reservations) lane.enter(reservation, shape)
  }
  return { lane, enterAll, tenants: (users: number) => users * links }
}
