import { spawn } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import * as path from "node:path"
import { tracked } from "./Cleanup.ts"
import { nowMillis } from "./Clock.ts"
import { type Database, parseLsn } from "./Cluster.ts"
import { readSlot } from "./RawPostgres.ts"

const executable = (): string | undefined => {
  const debian = "/usr/lib/postgresql"
  const folders = [
    ...(process.env["PATH"] ?? "").split(":"),
    ...(existsSync(debian) ? readdirSync(debian).map((version) => path.join(debian, version, "bin")) : [])
  ]
  return folders.map((folder) => path.join(folder, "pg_recvlogical")).find((file) => existsSync(file))
}

const program = executable()

export const drainFloorName = program === undefined ? "raw walsender reader" : "pg_recvlogical"

/** `pg_recvlogical` that throws everything away; `until` an LSN, or until it is stopped. */
const receive = (database: Database, slot: string, publication: string, until: string | undefined) =>
  tracked(
    spawn(
      program ?? "",
      [
        "--dbname",
        database.url,
        "--slot",
        slot,
        "--start",
        "--no-loop",
        "--file=/dev/null",
        "--fsync-interval=0",
        "--status-interval=1",
        "--option=proto_version=1",
        `--option=publication_names=${publication}`,
        ...(until === undefined ? [] : [`--endpos=${until}`])
      ],
      // Stopping one that follows makes it complain about the end of its stream.
      { stdio: ["ignore", "ignore", until === undefined ? "ignore" : "inherit"] }
    )
  )

/** How long it takes to read everything that a slot holds and do nothing with it, connecting included. */
export const drainMillis = async (database: Database, slot: string, publication: string): Promise<number> => {
  const [row] = await database.run("SELECT pg_current_wal_flush_lsn()::text AS lsn")
  const began = nowMillis()
  if (program === undefined) {
    const reader = await readSlot(database, slot, publication)
    await reader.reached(parseLsn(String(row?.["lsn"])))
    await reader.close()
  } else {
    const child = receive(database, slot, publication, String(row?.["lsn"]))
    const code = await new Promise<number | null>((resolve) => child.once("exit", resolve))
    if (code !== 0) throw new Error(`pg_recvlogical ended with exit code ${code}.`)
  }
  return nowMillis() - began
}

/** Follows a slot until the returned function is called. */
export const followSlot = async (
  database: Database,
  slot: string,
  publication: string
): Promise<() => Promise<void>> => {
  if (program === undefined) {
    const reader = await readSlot(database, slot, publication)
    return () => reader.close()
  }
  const child = receive(database, slot, publication, undefined)
  const exit = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  return async () => {
    child.kill("SIGINT")
    await exit
  }
}
