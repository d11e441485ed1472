/**
 * Keeps a release as one small file, for the tests that let it run beside later ones:
 *
 *   node scripts/keep-release.ts [directory of a checkout, with its node_modules]
 *
 * Writes `testing/releases/<version>.tgz`: the command with everything that it imports, but for the parser of conditions,
 * which is found in this checkout. To be run once for each release; what it has written is never changed afterwards.
 */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { build } from "vite"
import { commandBundle, threads } from "./support/CommandBundle.ts"

const here = path.join(import.meta.dirname, "..")
const root = path.resolve(process.argv[2] ?? here)
const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string }
const kept = path.join(here, "testing/releases", `${version}.tgz`)
if (existsSync(kept)) throw new Error(`${kept} is there already; a release is not changed after the fact`)

execFileSync(process.execPath, [path.join(root, "scripts/build.ts")], { stdio: "inherit" })
const dist = path.join(root, "dist")
const directory = mkdtempSync(path.join(tmpdir(), "baton-release-"))
await build(
  commandBundle({
    root,
    modules: dist,
    extension: "js",
    outDir: path.join(directory, "dist/bundle"),
    entries: ["main", ...threads.filter((name) => existsSync(path.join(dist, `${name}.js`)))],
    minify: true
  })
)
cpSync(path.join(root, "package.json"), path.join(directory, "package.json"))
cpSync(path.join(root, "dashboard"), path.join(directory, "dashboard"), { recursive: true })
execFileSync("tar", ["czf", kept, "-C", directory, "package.json", "dashboard", "dist"])
rmSync(directory, { recursive: true })
process.stdout.write(`${kept}\n`)
