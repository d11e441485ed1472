import { compareOffsets } from "../../shapes/LogOffset.ts"
import type { KeptMessage } from "./KeyFold.ts"

type Batch = ReadonlyArray<KeptMessage>

/** A run and its first message that has not been given yet. */
class Cursor {
  private readonly run: AsyncIterator<Batch>
  private batch: Batch = []
  private at = 0
  message: KeptMessage | undefined

  constructor(run: AsyncIterator<Batch>) {
    this.run = run
  }

  /** Goes to the next message of what is in memory; false where there is none. */
  stepNow(): boolean {
    this.message = this.batch[this.at++]
    return this.message !== undefined
  }

  /** Goes to the first message of what comes next; false at the end of the run. */
  async stepOn(): Promise<boolean> {
    for (;;) {
      const next = await this.run.next()
      if (next.done === true) return false
      this.batch = next.value
      this.at = 0
      if (this.stepNow()) return true
    }
  }
}

/** All of these runs, each of which is in order, in one order, so many messages at a time: a heap of their first messages. */
export async function* mergedRuns(
  runs: ReadonlyArray<AsyncIterator<Batch>>,
  batchMessages: number
): AsyncGenerator<Batch> {
  const heap: Array<Cursor> = []
  for (const run of runs) {
    const cursor = new Cursor(run)
    if (await cursor.stepOn()) heap.push(cursor)
  }
  for (let i = (heap.length >> 1) - 1; i >= 0; i--) sink(heap, i)
  let batch: Array<KeptMessage> = []
  for (let [first] = heap; first !== undefined; [first] = heap) {
    if (first.message !== undefined) batch.push(first.message)
    if (batch.length >= batchMessages) {
      yield batch
      batch = []
    }
    if (!first.stepNow() && !(await first.stepOn())) {
      const last = heap.pop()
      if (last === undefined || last === first) continue
      heap[0] = last
    }
    sink(heap, 0)
  }
  yield batch
}

const sink = (heap: Array<Cursor>, from: number): void => {
  for (let at = from; ;) {
    let least = at
    for (const child of [2 * at + 1, 2 * at + 2]) if (isBefore(heap[child], heap[least])) least = child
    const [here, there] = [heap[at], heap[least]]
    if (least === at || here === undefined || there === undefined) return
    heap[at] = there
    heap[least] = here
    at = least
  }
}

const isBefore = (a: Cursor | undefined, b: Cursor | undefined): boolean =>
  a?.message !== undefined && b?.message !== undefined && compareOffsets(a.message.at, b.message.at) < 0
