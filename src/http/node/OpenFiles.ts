import { readFileSync } from "node:fs"
import type { BatonConfig } from "../../config/BatonConfig.ts"

/** For storage, databases and what Node itself needs. */
const reservedFiles = 200

/** How many files and connections this process may have open. Node has raised it as far as it may. `undefined`: unknown. */
export const openFilesLimit = (): number | undefined => {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined // not Linux
  }
}

/**
 * How many connections of clients are taken: each may need a file beside, and what is left is for storage, which must
 * not fail for want of one. `problem`, for the operator, when that is less than the configuration allows.
 */
export const connectionLimit = (
  config: Pick<BatonConfig, "limits" | "maxConcurrentRequests">,
  openFiles: number | undefined
): { readonly connections: number; readonly problem: string | undefined } => {
  const { connections } = config.limits
  if (openFiles === undefined) return { connections, problem: undefined }
  const possible = Math.max(16, Math.floor((openFiles - reservedFiles) / 2))
  const { existing, initial } = config.maxConcurrentRequests
  const wanted = Math.min(connections, existing + initial)
  const problem =
    possible >= wanted / 2 // most requests wait, and have no file
      ? undefined
      : `This process may have ${openFiles} files open (ulimit -n), so it takes ${possible} connections of clients at a ` +
        `time; ELECTRIC_MAX_CONCURRENT_REQUESTS and BATON_MAX_CONNECTIONS would allow ${wanted}. Further ones are ` +
        `closed at once. Allow at least ${wanted * 2 + reservedFiles} files if so many clients are to be served.`
  return { connections: Math.min(connections, possible), problem }
}
