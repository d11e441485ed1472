/**
 * Puts what the command loads into a few large files, for the image: a start reads those instead of six hundred small
 * ones, and leaves out what nobody calls. Needs what `scripts/build.ts` has made in `dist`; the library stays as it is.
 */
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { build } from "vite"
import { commandBundle, threads } from "./support/CommandBundle.ts"

const root = path.join(import.meta.dirname, "..")
const dist = path.join(root, "dist")

await build(
  commandBundle({
    root,
    modules: dist,
    extension: "js",
    outDir: path.join(dist, "bundle"),
    // A chunk of this name is what `command/Service.js` is from now on.
    entries: ["command/Service", ...threads],
    minify: false
  })
)
writeFileSync(path.join(dist, "command/Service.js"), 'import "../bundle/Service.js"\n')
