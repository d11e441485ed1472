import * as path from "node:path"
import type { InlineConfig } from "vite"

export interface CommandBundleOptions {
  readonly root: string
  /** Where the modules are that are bundled: `src`, or `dist` when that has been built. */
  readonly modules: string
  /** Of those modules. */
  readonly extension: "ts" | "js"
  readonly outDir: string
  /** Names of modules without extension; each becomes a file of its last part's name. */
  readonly entries: ReadonlyArray<string>
  readonly minify: boolean
}

/** Modules that run as threads or processes of their own, and are looked for beside the module that starts them. */
export const threads: ReadonlyArray<string> = [
  "workers/worker",
  "where/aside/compileThread",
  "storage/compaction/foldThread"
]

/** How the command becomes a few large files: everything that it imports is in them but the parser of conditions. */
export const commandBundle = (options: CommandBundleOptions): InlineConfig => ({
  configFile: false,
  root: options.root,
  logLevel: "warn",
  // The parser has a file of WebAssembly beside it.
  ssr: { noExternal: true, external: ["libpg-query"] },
  build: {
    ssr: true,
    target: "node22",
    minify: options.minify,
    outDir: options.outDir,
    rolldownOptions: {
      input: Object.fromEntries(
        options.entries.map((name) => [
          path.basename(name),
          path.join(options.modules, `${name}.${options.extension}`)
        ])
      ),
      external: ["pg-native"],
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js" }
    }
  }
})
