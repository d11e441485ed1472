import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync
} from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { withDirectoryLock } from "../../src/dev/DirectoryLock.ts"
import { patient } from "../Load.ts"

const root = path.resolve(import.meta.dirname, "../..")
const kept = path.join(root, "node_modules/.cache/baton-bundles")
const longAgoMillis = 24 * 3600 * 1000

/** The command as a user of this checkout starts it: from its sources, by Node.js alone. */
export const commandFromSource = path.join(root, "src/main.ts")

/** Changes with everything that goes into the bundle. */
const stateOfSources = (): string => {
  const hash = createHash("sha256")
  const files = readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .toSorted()
    .map((name) => path.join("src", name))
  for (const file of [...files, "package-lock.json", "package.json", "scripts/support/CommandBundle.ts"])
    hash.update(`${file}\n`).update(readFileSync(path.join(root, file)))
  return hash.digest("hex").slice(0, 16)
}

/** What was last used long ago belongs to states of `src` that are over. */
const removeUnused = (): void => {
  for (const name of readdirSync(kept)) {
    const other = path.join(kept, name)
    const { mtimeMs } = statSync(other, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() }
    if (Date.now() - mtimeMs > longAgoMillis) rmSync(other, { recursive: true, force: true })
  }
}

const build = async (directory: string): Promise<void> => {
  if (existsSync(directory)) return
  removeUnused()
  const unfinished = `${directory}.unfinished`
  rmSync(unfinished, { recursive: true, force: true })
  const script = path.join(import.meta.dirname, "bundleCommand.ts")
  await promisify(execFile)(process.execPath, [script, unfinished])
  renameSync(unfinished, directory)
}

let entry: Promise<string> | undefined

/**
 * The command of this checkout in a few files, as the image has it: a start takes a fifth of the processor time of one from
 * the sources. It is bundled once for each state of `src`, by the first process that asks for it.
 */
export const bundledCommand = (): Promise<string> =>
  (entry ??= (async () => {
    const directory = path.join(kept, stateOfSources())
    mkdirSync(kept, { recursive: true })
    if (!existsSync(directory))
      await withDirectoryLock(`${directory}.lock`, patient(120_000), () => build(directory))
    utimesSync(directory, new Date(), new Date())
    return path.join(directory, "dist/bundle/main.js")
  })())
