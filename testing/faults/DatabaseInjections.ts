import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { freePort } from "../../src/dev/FreePort.ts"
import { eventually } from "../Eventually.ts"
import { startDatabaseProxy } from "../services/DatabaseProxy.ts"
import { askShape, type FaultScene } from "./FaultScene.ts"
import type { Injection } from "./Injection.ts"

/** With another URL of the database. */
const withUrl =
  (change: (url: URL, scene: FaultScene) => void, until: false | "active" = false) =>
  async (scene: FaultScene) => {
    await scene.query("SELECT 1")
    const url = new URL(scene.url)
    change(url, scene)
    return scene.start({ env: { DATABASE_URL: url.href }, until })
  }

/** As a role that is not all that it should be. */
const asRole =
  (attributes: string, grant: (role: string, scene: FaultScene) => string = () => "SELECT 1") =>
  async (scene: FaultScene) => {
    const role = await scene.role(attributes)
    await scene.query(grant(role.name, scene))
    return scene.start({ env: { DATABASE_URL: role.url }, until: false })
  }

/** With a wire between the service and its database. */
const wired = async (scene: FaultScene) => {
  const wire = await startDatabaseProxy(() => scene.port)
  scene.atEnd(() => wire.close())
  return { wire, env: { DATABASE_URL: wire.url(scene.url) } }
}

/** Writes WAL, and has Postgres see how much there is. */
const writeWal = async (scene: FaultScene, megabytes: number) => {
  for (let n = 0; n < megabytes; n++)
    await scene.query("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))")
  await scene.query("SELECT pg_switch_wal()")
  await scene.query("CHECKPOINT")
}

export const databaseInjections: ReadonlyArray<Injection> = [
  {
    name: "nothing listens where the database should be",
    code: "BATON-DB-REFUSED",
    isQuick: true,
    inject: async (scene) => {
      const port = await freePort()
      return withUrl((url) => void (url.port = String(port)))(scene)
    }
  },
  {
    name: "a wrong password",
    code: "BATON-DB-LOGIN",
    isQuick: true,
    inject: withUrl((url) => void (url.password = "wrong"))
  },
  {
    name: "a database that does not exist",
    code: "BATON-DB-NAME",
    inject: withUrl((url) => void (url.pathname = "/nowhere"))
  },
  {
    name: "TLS is demanded of a server that has none",
    code: "BATON-DB-TLS",
    inject: withUrl((url) => url.searchParams.set("sslmode", "require"))
  },
  { name: "a role that may not replicate", code: "BATON-DB-REPLICATION", inject: asRole("") },
  {
    name: "a role that may have no connection more",
    code: "BATON-DB-RESOURCES",
    inject: asRole("REPLICATION CONNECTION LIMIT 0")
  },
  {
    name: "no publication, and a role that may not make one",
    code: "BATON-DB-SETUP",
    inject: asRole("REPLICATION")
  },
  {
    name: "the slot belongs to another program",
    code: "BATON-DB-SETUP",
    inject: async (scene) => {
      await scene.query(`SELECT pg_create_logical_replication_slot('${scene.slotName}', 'test_decoding')`)
      return scene.start({ until: false })
    }
  },
  {
    name: "a database that takes no writes",
    code: "BATON-DB-READONLY",
    inject: async (scene) => {
      await scene.query(`ALTER DATABASE ${scene.name} SET default_transaction_read_only = on`)
      return scene.start({ until: false })
    }
  },
  {
    name: "wal_level is replica",
    code: "BATON-DB-WALLEVEL",
    inject: async (scene) => {
      await scene.ownCluster({ wal_level: "replica" })
      return scene.start({ until: false })
    }
  },
  {
    name: "Postgres is stopped",
    code: "BATON-DB-REFUSED",
    inject: async (scene) => {
      const cluster = await scene.ownCluster({})
      const watched = await scene.start()
      await cluster.stop()
      return watched
    }
  },
  {
    name: "the process of Postgres that streams stands still",
    code: "BATON-STREAM-SILENT",
    inject: async (scene) => {
      const watched = await scene.start()
      const [row] = await scene.query(
        `SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${scene.slotName}'`
      )
      const pid = Number(row?.["active_pid"])
      scene.atEnd(() => process.kill(pid, "SIGCONT"))
      process.kill(pid, "SIGSTOP")
      return watched
    }
  },
  {
    name: "Postgres waits for a standby that is not there",
    code: "BATON-STREAM-SILENT",
    inject: async (scene) => {
      await scene.ownCluster({ synchronized_standby_slots: "away" })
      return scene.start()
    }
  },
  {
    name: "a role that may write no heartbeat",
    code: "BATON-STREAM-UNWATCHED",
    inject: async (scene) => {
      const role = await scene.role("REPLICATION")
      await scene.query(
        `GRANT CREATE ON DATABASE ${scene.name} TO ${role.name};
         DO $$ DECLARE f regprocedure; BEGIN
           FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
             EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
           END LOOP; END $$`
      )
      return scene.start({ env: { DATABASE_URL: role.url } })
    }
  },
  {
    name: "the session is ended by somebody",
    code: "BATON-DB-SHUTDOWN",
    inject: async (scene) => {
      const watched = await scene.start()
      await scene.query(
        `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${scene.slotName}'`
      )
      return watched
    }
  },
  {
    name: "the wire to the database is cut, and stays so",
    code: "BATON-DB-CLOSED",
    inject: async (scene) => {
      const { env, wire } = await wired(scene)
      const watched = await scene.start({ env })
      wire.block()
      return watched
    }
  },
  {
    name: "a firewall swallows what is sent to the database",
    code: "BATON-DB-UNREACHABLE",
    inject: async (scene) => {
      const { env, wire } = await wired(scene)
      wire.blackHole()
      return scene.start({ env, until: false })
    }
  },
  {
    name: "an open transaction holds up the making of the slot",
    code: "BATON-SLOT-WAITS",
    isQuick: true,
    inject: async (scene) => {
      await scene.query("CREATE TABLE t (id int)")
      const other = await scene.connect()
      await other.query("BEGIN; INSERT INTO t VALUES (1)")
      return scene.start({ until: false })
    }
  },
  {
    name: "the slot was dropped while no instance ran",
    code: "BATON-SLOT-MISSING",
    inject: async (scene) => {
      await scene.query("CREATE TABLE t (id int PRIMARY KEY)")
      const before = await scene.start()
      await askShape(before, { table: "t" })
      await before.service.stop()
      await scene.query(`SELECT pg_drop_replication_slot('${scene.slotName}')`)
      return scene.start()
    }
  },
  {
    name: "Postgres gave up the slot while no instance ran",
    code: "BATON-SLOT-LOST",
    inject: async (scene) => {
      await scene.ownCluster({ max_slot_wal_keep_size: "1MB", min_wal_size: "32MB", max_wal_size: "32MB" })
      const before = await scene.start()
      await before.service.stop()
      await writeWal(scene, 60)
      await writeWal(scene, 60)
      return scene.start({ until: false })
    }
  },
  {
    name: "the WAL that is kept for the slot runs short",
    code: "BATON-SLOT-BUDGET",
    inject: async (scene) => {
      await scene.ownCluster({ max_slot_wal_keep_size: "200MB" })
      await scene.query("CREATE TABLE t (id int)")
      const watched = await scene.start()
      // The slot keeps the WAL from the beginning of the oldest transaction on.
      const other = await scene.connect()
      await other.query("BEGIN; INSERT INTO t VALUES (1)")
      await writeWal(scene, 150)
      return watched
    }
  },
  {
    name: "another program streams from the slot",
    code: "BATON-SLOT-INUSE",
    inject: async (scene) => {
      await scene.query(`CREATE PUBLICATION ${scene.publicationName}`)
      await scene.query(`SELECT pg_create_logical_replication_slot('${scene.slotName}', 'pgoutput')`)
      const other = new pg.Client({ connectionString: scene.url, replication: "database" } as pg.ClientConfig)
      other.on("error", () => {})
      await other.connect()
      scene.atEnd(() => other.end())
      other
        .query(
          `START_REPLICATION SLOT ${scene.slotName} LOGICAL 0/0 (proto_version '1', publication_names '${scene.publicationName}')`
        )
        .catch(() => {})
      await eventually("the other stream", async () => {
        const [slot] = await scene.query(
          `SELECT active FROM pg_replication_slots WHERE slot_name = '${scene.slotName}'`
        )
        return slot?.["active"] === true
      })
      return scene.start({ until: false })
    }
  },
  {
    name: "a transaction is larger than is allowed",
    code: "BATON-STREAM-TOOLARGE",
    inject: async (scene) => {
      await scene.query("CREATE TABLE t (id int PRIMARY KEY, v text)")
      const watched = await scene.start({ env: { ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE: "5000" } })
      await askShape(watched, { table: "t" })
      await scene.query("INSERT INTO t SELECT 1, repeat('x', 60000)")
      return watched
    }
  },
  {
    name: "an instance is frozen, and another one takes over",
    code: "BATON-LOCK-FENCED",
    orCode: "BATON-DB-CLOSED",
    inject: async (scene) => {
      const env = { BATON_WAL_SENDER_TIMEOUT: "2s" }
      const first = await scene.start({ env })
      const second = await scene.start({ env, until: "waiting" })
      first.service.signal("SIGSTOP")
      await second.service.until("active", 60_000)
      await sleep(500)
      first.service.signal("SIGCONT")
      return first
    }
  },
  {
    name: "a misspelt variable",
    code: "BATON-CONFIG-ADVICE",
    inject: (scene) => scene.start({ env: { ELECTRIC_PROT: "3000" } })
  },
  {
    name: "a variable that cannot be read",
    code: "BATON-CONFIG-INVALID",
    isQuick: true,
    inject: (scene) => scene.start({ env: { BATON_HTTP_WORKERS: "many" }, until: false })
  },
  {
    name: "another program has the port",
    code: "BATON-START-PORT",
    inject: async (scene) => {
      const first = await scene.start()
      return scene.start({
        port: first.service.port,
        until: false,
        storageDir: path.join(scene.directory, "other")
      })
    }
  }
]
