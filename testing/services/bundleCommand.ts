/** Bundles the command as it is in `src` into the directory that is given. Run by `CommandOfTests.ts`. */
import { cpSync } from "node:fs"
import * as path from "node:path"
import { build } from "vite"
import { commandBundle, threads } from "../../scripts/support/CommandBundle.ts"

const root = path.resolve(import.meta.dirname, "../..")
const [directory] = process.argv.slice(2)
if (directory === undefined) throw new Error("Which directory?")

await build(
  commandBundle({
    root,
    modules: path.join(root, "src"),
    extension: "ts",
    outDir: path.join(directory, "dist/bundle"),
    entries: ["main", ...threads],
    minify: false
  })
)
for (const beside of ["package.json", "dashboard"])
  cpSync(path.join(root, beside), path.join(directory, beside), { recursive: true })
