import { spawn } from "node:child_process"
import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs"
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises"
import * as path from "node:path"
import {
  asUser,
  type MajorVersion,
  postgresBinaries,
  postgresUser,
  traversableTmp,
  type PostgresUser
} from "./PostgresBinaries.ts"
import { exitCode } from "./Processes.ts"

/** The superuser of every cluster. */
export const superuser = "postgres"

/** Where a cluster is, and by what and as whom it is run. */
export interface ClusterPlace {
  readonly binaries: string
  /** `undefined`: as the user of this process. */
  readonly account: PostgresUser | undefined
  readonly directory: string
  readonly data: string
  readonly logFile: string
  /** Made for this process: it goes with the cluster. */
  readonly isTemporary: boolean
}

interface NewCluster {
  /** Of the superuser. */
  readonly password: string
  /** Lines for the top of `pg_hba.conf`, before the one that asks everybody for a password. */
  readonly accessRules: ReadonlyArray<string>
}

/** The cluster that `directory` holds, which is created when there is none; in a temporary one when it is left out. */
export const prepareCluster = async (
  version: MajorVersion,
  given: string | undefined,
  options: NewCluster
): Promise<ClusterPlace> => {
  const account = postgresUser()
  const binaries = await postgresBinaries(version, account)
  const directory = given ?? (await mkdtemp(path.join(traversableTmp(account), "baton-postgres-")))
  const place: ClusterPlace = {
    binaries,
    account,
    directory,
    data: path.join(directory, "data"),
    logFile: path.join(directory, "postgres.log"),
    isTemporary: given === undefined
  }
  try {
    mkdirSync(directory, { recursive: true })
    if (account !== undefined) chmodSync(directory, 0o755)
    if (!existsSync(path.join(place.data, "PG_VERSION"))) await initialise(place, options)
  } catch (error) {
    if (place.isTemporary) await rm(directory, { recursive: true, force: true })
    throw error
  }
  return place
}

const initialise = async (
  { account, binaries, data, directory, logFile }: ClusterPlace,
  { accessRules, password }: NewCluster
): Promise<void> => {
  // Made under another name, so that an interrupted first start leaves nothing that looks like a cluster.
  const unfinished = `${data}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  mkdirSync(unfinished, { mode: 0o700 })
  const passwordFile = path.join(directory, `.password-${process.pid}`)
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  const log = openSync(logFile, "a", 0o644)
  try {
    if (account !== undefined)
      for (const file of [unfinished, passwordFile]) chownSync(file, account.uid, account.gid)
    const child = spawn(
      path.join(binaries, "bin", "initdb"),
      [
        `--pgdata=${unfinished}`,
        `--username=${superuser}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync"
      ],
      { cwd: "/", env: environment(), stdio: ["ignore", log, log], ...asUser(account) }
    )
    const code = await exitCode(child)
    if (code !== 0) {
      throw new Error(`initdb failed with exit code ${code}. Its last words:\n${await tail(logFile)}`)
    }
    const accessFile = path.join(unfinished, "pg_hba.conf")
    await writeFile(accessFile, [...accessRules, await readFile(accessFile, "utf8")].join("\n"))
    await rename(unfinished, data)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw error
  } finally {
    closeSync(log)
    await rm(passwordFile, { force: true })
  }
}

/** A plain environment: PG* variables or a language of the caller must not change what the cluster is like. */
export const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" })

/** The last lines of a log. */
export const tail = async (file: string): Promise<string> =>
  (await readFile(file, "utf8").catch(() => "")).split("\n").slice(-20).join("\n")
