import { crc32 } from "node:zlib"
import { compareOffsets } from "../../shapes/LogOffset.ts"
import { MessageTexts } from "../records/MessageTexts.ts"
import { type KeptMessage, KeyFold } from "./KeyFold.ts"
import { mergedRuns } from "./MergedRuns.ts"
import { keyIn, offsetIn, operationIn } from "./RowMessage.ts"

/** Room beside memory: lists of bytes that grow at their end, by number. Nobody else sees them. */
export interface Spill {
  append(list: number, bytes: Uint8Array): Promise<void>
  /** In pieces of so many bytes at most. */
  read(list: number, pieceBytes: number): AsyncIterable<Uint8Array>
  remove(list: number): Promise<void>
}

interface FoldOptions {
  readonly spill: Spill
  /** Characters of messages that may be in memory, about. */
  readonly budget: number
  /** Among so many lists rows are divided once they are more than that. */
  readonly lists: number
  /** Called after so many characters: others are given their turn. */
  readonly pause: () => Promise<void>
  readonly charactersPerPause: number
}

/** What a message costs beside its characters, in characters. */
const messageCost = 200
/** Messages that are passed on, or sorted, at a time. */
const batchMessages = 512
const sortedAtOnce = 2048
/** Written to a spilled list, or read from one, at a time. */
const runBytes = 256 * 1024
const leastReadBytes = 16 * 1024

type Batch = ReadonlyArray<KeptMessage>

/**
 * Folds messages of a log, given in its order, in bounded memory: what is folded already goes to lists by key where it is too
 * much, and is folded again list by list.
 */
export class LogFold {
  private readonly options: FoldOptions
  private rows = new Map<string, KeyFold>()
  private length = 0
  private hasSpilled = false
  private sincePause = 0
  /** Messages that are about no row, of which the last are kept. */
  readonly others: Array<string> = []

  constructor(options: FoldOptions) {
    this.options = options
  }

  /** Whether others are due to have their turn after so many characters: `pause` is to be called. */
  private isPauseDue(characters: number): boolean {
    this.sincePause += characters + messageCost
    if (this.sincePause < this.options.charactersPerPause) return false
    this.sincePause = 0
    return true
  }

  /** The next messages, each a whole text. */
  async add(texts: ReadonlyArray<string>): Promise<void> {
    const { budget, pause } = this.options
    for (const text of texts) {
      const key = keyIn(text)
      if (key === undefined) {
        this.others.push(text)
        continue
      }
      let row = this.rows.get(key)
      if (row === undefined) {
        row = new KeyFold()
        this.rows.set(key, row)
        this.length += key.length
      }
      this.length -= row.length
      row.add(operationIn(text), text)
      this.length += row.length
      if (this.length > budget) await this.spill()
      if (this.isPauseDue(text.length)) await pause()
    }
  }

  private async spill(): Promise<void> {
    const { lists, pause, spill } = this.options
    this.hasSpilled = true
    const texts = new Map<number, Array<string>>()
    for (const [key, row] of this.rows) {
      const list = crc32(key) % lists
      let of = texts.get(list)
      if (of === undefined) texts.set(list, (of = []))
      of.push(...row.texts())
      if (this.isPauseDue(row.length)) await pause()
    }
    this.rows = new Map()
    this.length = 0
    for (const [list, of] of texts) {
      texts.delete(list)
      await spill.append(list, Buffer.from(of.join(""), "utf8"))
    }
  }

  /** The rows of one list after the other; of all where everything is in memory. */
  private async *groups(): AsyncGenerator<ReadonlyMap<string, KeyFold>> {
    if (!this.hasSpilled) {
      yield this.rows
      return
    }
    await this.spill()
    const { lists, pause, spill } = this.options
    for (let list = 0; list < lists; list++) {
      const rows = new Map<string, KeyFold>()
      const cut = new MessageTexts()
      for await (const piece of spill.read(list, runBytes))
        for (const text of cut.of(piece)) {
          const key = keyIn(text)
          if (key === undefined) continue
          let row = rows.get(key)
          if (row === undefined) rows.set(key, (row = new KeyFold()))
          row.add(operationIn(text), text)
          if (this.isPauseDue(text.length)) await pause()
        }
      await spill.remove(list)
      yield rows
    }
  }

  /** The rows that a reader at the end holds, in no order, some at a time. Once, and instead of `messages`. */
  async *held(): AsyncGenerator<ReadonlyArray<string>> {
    const { pause } = this.options
    let texts: Array<string> = []
    for await (const rows of this.groups())
      for (const row of rows.values()) {
        const text = row.row()
        if (text !== undefined) texts.push(text)
        if (!this.isPauseDue(text?.length ?? 0)) continue
        yield texts
        texts = []
        await pause()
      }
    yield texts
  }

  /** In order, some at a time: to sort all of them at once would keep others waiting. */
  private async *inOrder(rows: ReadonlyMap<string, KeyFold>): AsyncGenerator<Batch> {
    const { pause } = this.options
    const messages: Array<KeptMessage> = []
    for (const row of rows.values()) {
      for (const message of row.messages()) messages.push(message)
      if (this.isPauseDue(row.length)) await pause()
    }
    const runs: Array<AsyncGenerator<Batch>> = []
    for (let at = 0; at < messages.length; at += sortedAtOnce) {
      runs.push(oneBatch(messages.slice(at, at + sortedAtOnce).toSorted(byOffset)))
      await pause()
    }
    yield* mergedRuns(runs, batchMessages)
  }

  /** The folded log, in the order of its offsets, some at a time. Once, and instead of `held`. */
  async *messages(): AsyncGenerator<Batch> {
    const { lists, spill } = this.options
    let runs = 0
    for await (const rows of this.groups()) {
      if (!this.hasSpilled) {
        yield* this.inOrder(rows)
        return
      }
      await writeRun(spill, lists + runs++, this.inOrder(rows))
    }
    // All runs are read at the same time.
    const readBytes = Math.max(leastReadBytes, Math.min(runBytes, this.options.budget / Math.max(1, runs)))
    const sources = Array.from({ length: runs }, (_, run) => runOf(spill, lists + run, Math.floor(readBytes)))
    yield* mergedRuns(sources, batchMessages)
    for (let run = 0; run < runs; run++) await spill.remove(lists + run)
  }
}

const byOffset = (a: KeptMessage, b: KeptMessage): number => compareOffsets(a.at, b.at)

async function* oneBatch(batch: Batch): AsyncGenerator<Batch> {
  yield batch
}

const writeRun = async (spill: Spill, run: number, batches: AsyncIterable<Batch>): Promise<void> => {
  let texts: Array<string> = []
  let length = 0
  const write = async () => {
    const bytes = Buffer.from(texts.join(""), "utf8")
    texts = []
    length = 0
    await spill.append(run, bytes)
  }
  for await (const batch of batches)
    for (const { text } of batch) {
      texts.push(text)
      length += text.length
      if (length >= runBytes) await write()
    }
  if (texts.length > 0) await write()
}

async function* runOf(spill: Spill, run: number, pieceBytes: number): AsyncGenerator<Batch> {
  const cut = new MessageTexts()
  for await (const piece of spill.read(run, pieceBytes)) {
    const texts = cut.of(piece)
    if (texts.length > 0) yield texts.map((text) => ({ at: offsetIn(text), text }))
  }
}
