/**
 * Puts what the command loads into a few large files, for the image: a start reads those instead of six hundred small
 * ones, and leaves out what nobody calls. Needs what `scripts/build.ts` has made in `dist`; the library stays as it is.
 */
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { build } from "vite"

const root = path.join(import.meta.dirname, "..")
const dist = path.join(root, "dist")

await build({
  configFile: false,
  root,
  logLevel: "warn",
  // The parser has a file of WebAssembly beside it.
  ssr: { noExternal: true, external: ["libpg-query"] },
  build: {
    ssr: true,
    target: "node22",
    minify: false,
    outDir: path.join(dist, "bundle"),
    rolldownOptions: {
      input: {
        service: path.join(dist, "command/Service.js"),
        worker: path.join(dist, "workers/worker.js"),
        compileThread: path.join(dist, "where/aside/compileThread.js")
      },
      external: ["pg-native"],
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js" }
    }
  }
})
writeFileSync(path.join(dist, "command/Service.js"), 'import "../bundle/service.js"\n')
