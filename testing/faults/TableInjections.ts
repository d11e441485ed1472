import { askShape, type FaultScene, type WatchedService } from "./FaultScene.ts"
import { verifyShapes } from "../services/VerifyShapes.ts"
import type { Injection } from "./Injection.ts"

const manual = { ELECTRIC_MANUAL_TABLE_PUBLISHING: "true" }

/** Tables of the scene are what `sql` makes of them; then a shape is asked for. */
const asking =
  (
    sql: string | ((scene: FaultScene) => string),
    params: Readonly<Record<string, string>> = { table: "t" },
    env: Readonly<Record<string, string>> = {}
  ) =>
  async (scene: FaultScene): Promise<WatchedService> => {
    await scene.query(typeof sql === "string" ? sql : sql(scene))
    const watched = await scene.start({ env })
    await askShape(watched, params)
    return watched
  }

/** As a role that may replicate and make a publication, and owns nothing. */
const asStranger =
  (sql: (role: string, scene: FaultScene) => string, env: Readonly<Record<string, string>> = {}) =>
  async (scene: FaultScene): Promise<WatchedService> => {
    const role = await scene.role("REPLICATION")
    await scene.query(`GRANT CREATE ON DATABASE ${scene.name} TO ${role.name}; ${sql(role.name, scene)}`)
    const watched = await scene.start({ env: { DATABASE_URL: role.url, ...env } })
    await askShape(watched, { table: "t" })
    return watched
  }

/** With a shape on `t`, something is done to the database. */
const meanwhile =
  (sql: string, change: (scene: FaultScene) => string, params: Readonly<Record<string, string>> = {}) =>
  async (scene: FaultScene): Promise<WatchedService> => {
    await scene.query(sql)
    const watched = await scene.start()
    await askShape(watched, { table: "t", ...params })
    await scene.query(change(scene))
    return watched
  }

const table = "CREATE TABLE t (id int PRIMARY KEY, v text)"

export const tableInjections: ReadonlyArray<Injection> = [
  {
    name: "the publication is dropped",
    code: "BATON-PUBLICATION-MISSING",
    inject: meanwhile(table, ({ publicationName }) => `DROP PUBLICATION ${publicationName}`)
  },
  {
    name: "the publication carries no updates any more",
    code: "BATON-PUBLICATION-ALTERED",
    inject: meanwhile(
      table,
      ({ publicationName }) => `ALTER PUBLICATION ${publicationName} SET (publish = 'insert')`
    )
  },
  {
    name: "a table is taken out of the publication",
    code: "BATON-PUBLICATION-ALTERED",
    inject: meanwhile(table, ({ publicationName }) => `ALTER PUBLICATION ${publicationName} DROP TABLE t`)
  },
  {
    name: "the replica identity of a table is altered",
    code: "BATON-PUBLICATION-ALTERED",
    inject: meanwhile(table, () => "ALTER TABLE t REPLICA IDENTITY DEFAULT")
  },
  {
    name: "a table that is not the role's",
    code: "BATON-TABLE-OWNER",
    isQuick: true,
    inject: asStranger((role) => `${table}; GRANT SELECT ON t TO ${role}`)
  },
  {
    name: "a table that the role may not read",
    code: "BATON-TABLE-PRIVILEGE",
    inject: asStranger(
      (_, { publicationName }) =>
        `${table}; ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION ${publicationName} FOR TABLE t`,
      manual
    )
  },
  {
    name: "a table that nobody has published by hand",
    code: "BATON-TABLE-UNPUBLISHED",
    inject: asking(
      ({ publicationName }) => `${table}; CREATE PUBLICATION ${publicationName}`,
      undefined,
      manual
    )
  },
  {
    name: "a table published by hand whose replica identity is not FULL",
    code: "BATON-TABLE-IDENTITY",
    inject: asking(
      ({ publicationName }) => `${table}; CREATE PUBLICATION ${publicationName} FOR TABLE t`,
      undefined,
      manual
    )
  },
  {
    name: "a publication with a row filter",
    code: "BATON-TABLE-FILTERED",
    inject: asking(
      ({ publicationName }) =>
        `${table}; ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION ${publicationName} FOR TABLE t WHERE (id > 5)`,
      undefined,
      manual
    )
  },
  {
    name: "an unlogged table",
    code: "BATON-TABLE-UNFIT",
    inject: asking("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)")
  },
  {
    name: "somebody holds a lock on a table",
    code: "BATON-TABLE-LOCKED",
    inject: async (scene) => {
      await scene.query(table)
      const watched = await scene.start()
      const other = await scene.connect()
      await other.query("BEGIN; LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
      void askShape(watched, { table: "t" })
      return watched
    }
  },
  {
    name: "first rows for which a condition fails",
    code: "BATON-SHAPE-SNAPSHOT",
    inject: asking(`${table}; INSERT INTO t VALUES (0, 'x')`, { table: "t", where: "1 / id > 0" })
  },
  {
    name: "a condition that takes Postgres long",
    code: "BATON-CLAUSE-SLOW",
    inject: meanwhile(
      `${table}; CREATE FUNCTION slow(i int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(1.3); RETURN true; END'`,
      () => "INSERT INTO t VALUES (1, 'x')",
      { where: "slow(id)" }
    )
  },
  {
    name: "a condition that fails for a changed row",
    code: "BATON-SHAPE-CONDITION",
    inject: meanwhile(table, () => "INSERT INTO t VALUES (0, 'x')", { where: "1 / id > 0" })
  },
  {
    name: "a table with shapes is replaced",
    code: "BATON-SHAPE-DROPPED",
    inject: meanwhile(table, () => `DROP TABLE t; ${table}`)
  },
  {
    name: "a row vanishes from a table past replication, and shapes are compared",
    code: "BATON-SHAPE-DIFFERS",
    inject: async (scene) => {
      const watched = await meanwhile(
        `${table}; INSERT INTO t VALUES (1, 'a'); CREATE EXTENSION pg_surgery`,
        () => "SELECT heap_force_kill('t', ARRAY['(0,1)'::tid])"
      )(scene)
      await verifyShapes(watched.service.url)
      return watched
    }
  },
  {
    name: "more requests than there may be",
    code: "BATON-REQUEST-REFUSED",
    isQuick: true,
    inject: async (scene) => {
      await scene.query(table)
      const env = { ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":1,"existing":1}' }
      const watched = await scene.start({ env })
      const other = await scene.connect()
      await other.query("BEGIN; LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
      void askShape(watched, { table: "t" })
      for (let n = 0; n < 50; n++) if ((await askShape(watched, { table: "u" })).status === 503) break
      await other.query("ROLLBACK")
      return watched
    }
  },
  {
    name: "a request that takes long",
    code: "BATON-REQUEST-SLOW",
    isQuick: true,
    inject: asking(table, { table: "t", where: "id > 5" }, { BATON_SLOW_REQUEST: "1ms" })
  }
]
