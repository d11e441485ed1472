import { parentPort, workerData } from "node:worker_threads"
import { makeRandom } from "../Random.ts"
import { startWriteLoad } from "./WriteLoad.ts"
import type { Answered, Asked, Given } from "./WriteLoadThread.ts"

const figuresMillis = 100

if (parentPort === null) throw new Error("This is a thread of WriteLoadThread.ts and nothing by itself.")
const port = parentPort
const { seed, writeLoad } = workerData as Given
const load = startWriteLoad({ ...writeLoad, random: makeRandom(seed) })
const tell = (id: number | undefined) => {
  const { committed, lostConnections } = load
  const figures: Answered = { id, committed: committed(), lostConnections: lostConnections() }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  port.postMessage(figures)
}
setInterval(() => tell(undefined), figuresMillis)
port.on("message", ({ id, what }: Asked) => {
  void Promise.resolve(load[what]()).then(() => tell(id))
})
