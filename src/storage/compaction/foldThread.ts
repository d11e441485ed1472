/** What a thread beside the event loop runs: it folds one log after the other, as it is told by `FoldAside`. */
import { getHeapStatistics } from "node:v8"
import { parentPort } from "node:worker_threads"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import type { FoldRequest, FromFoldThread, ToFoldThread } from "./FoldProtocol.ts"
import { type FoldOutput, FoldWork } from "./FoldWork.ts"
import type { Spill } from "./LogFold.ts"

const port = parentPort
if (port === null) throw new Error("This is run as a thread, by FoldAside")

const post = (message: FromFoldThread, moved?: Uint8Array): void =>
  port.postMessage(message, moved?.buffer instanceof ArrayBuffer ? [moved.buffer] : [])

/** In memory of its own, which can be moved to another thread. */
const alone = (bytes: Uint8Array): Uint8Array =>
  bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)

/** One job. It has one request under way at most, since whatever it does waits for the answer. */
class ThreadJob {
  private readonly job: number
  private readonly work: FoldWork
  private outputs: AsyncIterator<FoldOutput> | undefined
  answered: (answer: Uint8Array | undefined) => void = () => {}

  constructor(job: number, begins: ConstructorParameters<typeof FoldWork>[0]) {
    this.job = job
    this.work = new FoldWork(begins, this.spill, async () => void (await this.ask({ does: "rest" })))
  }

  private ask(requests: FoldRequest): Promise<Uint8Array | undefined> {
    const answer = new Promise<Uint8Array | undefined>((resolve) => (this.answered = resolve))
    post({ job: this.job, requests }, requests.does === "append" ? requests.bytes : undefined)
    return answer
  }

  private readonly spill: Spill = {
    append: async (list, bytes) => void (await this.ask({ does: "append", list, bytes: alone(bytes) })),
    read: (list, pieceBytes) => this.pieces(list, pieceBytes),
    remove: async (list) => void (await this.ask({ does: "remove", list }))
  }

  private async *pieces(list: number, pieceBytes: number): AsyncGenerator<Uint8Array> {
    for (let goesOn = false; ; goesOn = true) {
      const piece = await this.ask({ does: "read", list, goesOn, pieceBytes })
      if (piece === undefined) return
      yield piece
    }
  }

  add(piece: Uint8Array): void {
    this.work.add(piece).then(() => post({ job: this.job, added: true }), this.failed)
  }

  next(): void {
    this.outputs ??= this.work.outputs()
    this.outputs.next().then((result) => {
      const output = result.done === true ? undefined : result.value
      const heapBytes = getHeapStatistics().total_heap_size
      if (output === undefined || "end" in output) return post({ job: this.job, output, heapBytes })
      const piece = alone(output.piece)
      post({ job: this.job, output: { piece }, heapBytes }, piece)
    }, this.failed)
  }

  private readonly failed = (error: unknown): void =>
    post({ job: this.job, failed: error instanceof Error ? error.message : String(error) })
}

let current: ThreadJob | undefined

port.on("message", (message: ToFoldThread) => {
  if ("begins" in message) current = new ThreadJob(message.job, message.begins)
  else if ("ends" in message) current = undefined
  else if ("adds" in message) current?.add(message.adds)
  else if ("wants" in message) current?.next()
  else current?.answered(message.answer)
})
post({ release: batonVersion })
