import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"

const root = path.resolve(import.meta.dirname, "../..")

/** The versions after which files in a directory are named, oldest first. */
export const versionsIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".tgz"))
    .map((name) => name.slice(0, -".tgz".length))
    .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))

/** The releases that are kept; `scripts/keep-release.ts` adds one. */
export const keptReleases: ReadonlyArray<string> = versionsIn(import.meta.dirname)

/** A release that can be started beside this one: `entry` is its `main.js`. */
export interface OldRelease extends Disposable {
  readonly version: string
  readonly entry: string
}

/** Unpacks a kept release into a temporary directory. */
export const unpackRelease = async (version: string): Promise<OldRelease> => {
  const directory = mkdtempSync(path.join(tmpdir(), `baton-${version}-`))
  await promisify(execFile)("tar", ["xzf", path.join(import.meta.dirname, `${version}.tgz`), "-C", directory])
  symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"))
  return {
    version,
    entry: path.join(directory, "dist/bundle/main.js"),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true })
  }
}
