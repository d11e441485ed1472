import { Worker } from "node:worker_threads"
import type { Random } from "../Random.ts"
import type { WriteLoad, WriteLoadOptions } from "./WriteLoad.ts"

/** What the thread, `writeLoadWorker.ts`, is given, asked and answers. */
export interface Given {
  readonly writeLoad: Omit<WriteLoadOptions, "random">
  readonly seed: number
}

export interface Asked {
  readonly id: number
  readonly what: "pause" | "resume" | "stop"
}

export interface Answered {
  /** `undefined`: nothing was asked, these are only the latest figures. */
  readonly id: number | undefined
  readonly committed: number
  readonly lostConnections: number
}

/**
 * A write load in a thread of its own: its transactions come at their pace even when the clients in this thread have more
 * to do than it can.
 */
export const startWriteLoadThread = (
  options: Omit<WriteLoadOptions, "random"> & { readonly random: Random }
): WriteLoad => {
  const { random, ...writeLoad } = options
  const given: Given = { writeLoad, seed: random.int(1, 2 ** 31 - 1) }
  const worker = new Worker(new URL("writeLoadWorker.ts", import.meta.url), { workerData: given })
  const waiting = new Map<number, (failure?: Error) => void>()
  let figures = { committed: 0, lostConnections: 0 }
  let failure: Error | undefined
  let lastId = 0
  const endWith = (error: Error) => {
    failure = error
    for (const done of waiting.values()) done(error)
    waiting.clear()
  }
  worker.on("message", ({ id, ...latest }: Answered) => {
    figures = latest
    if (id === undefined) return
    waiting.get(id)?.()
    waiting.delete(id)
  })
  worker.on("error", (error) => endWith(error instanceof Error ? error : new Error(String(error))))
  worker.on("exit", () => endWith(failure ?? new Error("The thread of the write load has ended.")))
  const ask = (what: Asked["what"]): Promise<void> =>
    new Promise((resolve, reject) => {
      if (failure !== undefined) return reject(failure)
      const id = ++lastId
      waiting.set(id, (error) => (error === undefined ? resolve() : reject(error)))
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage({ id, what } satisfies Asked)
    })
  return {
    committed: () => figures.committed,
    lostConnections: () => figures.lostConnections,
    pause: () => ask("pause"),
    resume: () => void ask("resume").catch(() => {}),
    stop: async () => {
      if (failure !== undefined) return
      await ask("stop")
      await worker.terminate()
    }
  }
}
