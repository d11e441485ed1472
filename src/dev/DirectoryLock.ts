import { readFile, rm, writeFile } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { isAlive } from "./Processes.ts"

/**
 * Runs `work` while no other process runs work under the same lock file. The file holds the process id of its owner; one
 * that a killed process left behind is taken over. Fails after `deadlineMillis`.
 */
export const withDirectoryLock = async <A>(
  file: string,
  deadlineMillis: number,
  work: () => Promise<A>
): Promise<A> => {
  const deadline = Date.now() + deadlineMillis
  for (;;) {
    try {
      await writeFile(file, String(process.pid), { flag: "wx" })
      break
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error
    }
    const owner = Number(await readFile(file, "utf8").catch(() => ""))
    // An empty file is one that is being written just now.
    if (owner !== 0 && !isAlive(owner)) await rm(file, { force: true })
    else if (Date.now() > deadline) {
      throw new Error(
        `Process ${owner} has been starting or stopping this database for too long. If it is not, delete ${file}.`
      )
    } else await sleep(50)
  }
  try {
    return await work()
  } finally {
    await rm(file, { force: true })
  }
}
