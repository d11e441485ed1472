import { type ChildProcess, fork } from "node:child_process"
import * as path from "node:path"
import { onEnd, tracked } from "./Cleanup.ts"

export interface Helper {
  readonly pid: number
  readonly port: number
  readonly child: ChildProcess
  /** All that it has said when it was ready. */
  readonly ready: unknown
  readonly stop: () => Promise<void>
}

/** Starts one of the scripts beside this file, which says `{ port }` when it listens (0 if it does not listen). */
export const startHelper = (
  script: string,
  args: ReadonlyArray<string> = [],
  nodeArguments: ReadonlyArray<string> = [],
  environment: Readonly<Record<string, string>> = {}
): Promise<Helper> =>
  new Promise((resolve, reject) => {
    const child = tracked(
      fork(path.join(import.meta.dirname, script), [...args], {
        serialization: "advanced",
        execArgv: [...nodeArguments],
        env: { ...process.env, ...environment }
      })
    )
    const exit = new Promise<void>((done) => child.once("exit", () => done()))
    const stop = onEnd(async () => {
      child.kill("SIGKILL")
      await exit
    })
    child.once("error", reject)
    child.once("exit", (code) => reject(new Error(`${script} ended with exit code ${code}.`)))
    child.once("message", (message) => {
      const { port } = message as { readonly port: number }
      resolve({ pid: child.pid ?? 0, port, child, ready: message, stop })
    })
  })
