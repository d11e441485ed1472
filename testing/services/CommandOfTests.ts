import { execFile } from "node:child_process"
import { readdirSync } from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { keptOfSources } from "./Kept.ts"

const root = path.resolve(import.meta.dirname, "../..")

/** The command as a user of this checkout starts it: from its sources, by Node.js alone. */
export const commandFromSource = path.join(root, "src/main.ts")

const pageFiles = (): ReadonlyArray<string> =>
  readdirSync(path.join(root, "dashboard"))
    .toSorted()
    .map((name) => path.join("dashboard", name))

let entry: Promise<string> | undefined

/**
 * The command of this checkout in a few files, as the image has it: a start takes a fifth of the processor time of one from
 * the sources.
 */
export const bundledCommand = (): Promise<string> =>
  (entry ??= keptOfSources("command", ["scripts/support/CommandBundle.ts", ...pageFiles()], (directory) =>
    promisify(execFile)(process.execPath, [path.join(import.meta.dirname, "bundleCommand.ts"), directory])
  ).then((directory) => path.join(directory, "dist/bundle/main.js")))
