/** Compiles `src` to `dist`, as the package is published: `npm run build`. */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, rmSync } from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "..")
const dist = path.join(root, "dist")
const compiler = path.join(root, "node_modules", ".bin", "tsc")

// What was renamed or deleted in `src` must not live on in the package.
rmSync(dist, { recursive: true, force: true })
const { status } = spawnSync(compiler, ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" })
for (const command of ["bin.js", "container.js", "main.js"]) {
  const file = path.join(dist, command)
  if (status === 0 && existsSync(file)) chmodSync(file, 0o755)
}
process.exitCode = status ?? 1
