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
import { withDirectoryLock } from "../../src/dev/DirectoryLock.ts"
import { patient } from "../Load.ts"

const root = path.resolve(import.meta.dirname, "../..")
const kept = path.join(root, "node_modules/.cache/baton-kept")
const longAgoMillis = 24 * 3600 * 1000

/** Changes with every source, with what is installed, and with these files. */
const stateOfSources = (files: ReadonlyArray<string>): string => {
  const hash = createHash("sha256")
  const sources = readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .toSorted()
    .map((name) => path.join("src", name))
  for (const file of [...sources, "package-lock.json", "package.json", ...files])
    hash.update(`${file}\n`).update(readFileSync(path.join(root, file)))
  return hash.digest("hex").slice(0, 16)
}

/** What was last used long ago belongs to sources as they are no longer. */
const removeUnused = (): void => {
  for (const name of readdirSync(kept)) {
    const other = path.join(kept, name)
    const { mtimeMs } = statSync(other, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() }
    if (Date.now() - mtimeMs > longAgoMillis) rmSync(other, { recursive: true, force: true })
  }
}

/**
 * A directory with what `make` makes of the sources as they are, and of `files` beside them. It is made once for each state
 * of these, by the first process that asks for it, and is not to be written to afterwards.
 */
export const keptOfSources = async (
  name: string,
  files: ReadonlyArray<string>,
  make: (directory: string) => Promise<unknown>
): Promise<string> => {
  const directory = path.join(kept, `${name}-${stateOfSources(files)}`)
  mkdirSync(kept, { recursive: true })
  if (!existsSync(directory))
    await withDirectoryLock(`${directory}.lock`, patient(120_000), async () => {
      if (existsSync(directory)) return
      removeUnused()
      const unfinished = `${directory}.unfinished`
      rmSync(unfinished, { recursive: true, force: true })
      mkdirSync(unfinished)
      await make(unfinished)
      renameSync(unfinished, directory)
    })
  utimesSync(directory, new Date(), new Date())
  return directory
}
