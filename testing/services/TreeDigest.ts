import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import * as path from "node:path"

/** Every file and directory below a directory, with its length and a digest of its content: equal if nothing was written. */
export const treeDigest = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((name) => {
      const file = path.join(directory, name)
      if (statSync(file).isDirectory()) return `${name}/`
      const content = readFileSync(file)
      return `${name} ${content.length} ${createHash("sha256").update(content).digest("hex")}`
    })
