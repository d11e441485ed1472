import { crc32 } from "node:zlib"
import { compareOffsets, type LogOffset } from "../../shapes/LogOffset.ts"
import { MessageTexts } from "../records/MessageTexts.ts"
import type { KeptMessage } from "./KeyFold.ts"
import { LogFold, type Spill } from "./LogFold.ts"
import { offsetIn, withLastMark, withoutLastMark } from "./RowMessage.ts"

/** What is to be made of a log. Plain data, which may go to a thread. */
export interface FoldJob {
  /** Rows as they are at its end, or the same log, of which what stands at or before an offset is left out. */
  readonly makes: "rows" | { readonly logBehind: LogOffset }
  /** A file is full with so many bytes of messages. */
  readonly fileBytes: number
  /** As of `LogFold`. */
  readonly budget: number
  readonly lists: number
  readonly charactersPerPause: number
}

/** What a file has come to. */
export interface FileEnd {
  readonly bytes: number
  readonly crc: number
  readonly entries: number
  /** Of the messages alone. */
  readonly entryBytes: number
  /** Where the last message of a log stands. */
  readonly at: LogOffset | undefined
}

/** Bytes of a file, in their order, and after the last of them what the file has come to. */
export type FoldOutput = { readonly piece: Uint8Array } | { readonly end: FileEnd }

/** A fold that is under way, wherever it runs. */
export interface RunningFold {
  /** The next bytes of the log; each answer is whole. They are valid during the call. */
  readonly add: (piece: Uint8Array) => Promise<void>
  /** The files. Once, and after all of the log. */
  readonly outputs: () => AsyncIterable<FoldOutput>
}

/** Makes files of the bytes of a log. */
export class FoldWork implements RunningFold {
  private readonly job: FoldJob
  private readonly fold: LogFold
  private readonly texts = new MessageTexts()
  /** Of what was given, the last message. */
  private last = ""

  constructor(job: FoldJob, spill: Spill, pause: () => Promise<void>) {
    this.job = job
    this.fold = new LogFold({ ...job, spill, pause })
  }

  async add(piece: Uint8Array): Promise<void> {
    const texts = this.texts.of(piece)
    this.last = texts.at(-1) ?? this.last
    await this.fold.add(texts)
  }

  outputs(): AsyncGenerator<FoldOutput> {
    const { makes } = this.job
    return makes === "rows" ? this.rows() : this.log(makes.logBehind)
  }

  private async *rows(): AsyncGenerator<FoldOutput> {
    const file = new FileTexts()
    let files = 0
    for await (const texts of this.fold.held())
      for (const text of texts) {
        const piece = file.add(text)
        if (piece !== undefined) yield { piece }
        if (file.entryBytes < this.job.fileBytes) continue
        yield* file.end(undefined)
        files++
      }
    for (const text of this.fold.others) file.add(text)
    if (file.entries > 0 || files === 0) yield* file.end(undefined)
  }

  private async *log(begins: LogOffset): AsyncGenerator<FoldOutput> {
    const file = new FileTexts()
    let held: KeptMessage | undefined
    for await (const messages of this.fold.messages())
      for (const message of messages) {
        if (compareOffsets(message.at, begins) <= 0) continue
        if (held !== undefined) {
          const piece = file.add(held.at.tx === message.at.tx ? held.text : withLastMark(held.text))
          if (piece !== undefined) yield { piece }
          if (file.entryBytes >= this.job.fileBytes) yield* file.end(held.at)
        }
        held = message
      }
    if (held === undefined) return
    file.add(this.goesOn(held.at) ? held.text : withLastMark(held.text))
    yield* file.end(held.at)
  }

  /** Whether more of that transaction stands behind the log that was given: who is told of its end takes nothing more of it. */
  private goesOn({ tx }: LogOffset): boolean {
    return withoutLastMark(this.last) === this.last && offsetIn(this.last).tx === tx
  }
}

const pieceCharacters = 128 * 1024

/** Messages gathered to a file, joined with commas; encoded bit by bit. */
class FileTexts {
  private texts: Array<string> = []
  private characters = 0
  private crc = 0
  private bytes = 0
  entries = 0
  entryBytes = 0

  /** Gives the bytes that have come together, where they are many. */
  add(text: string): Uint8Array | undefined {
    this.texts.push(this.entries === 0 ? text : `,${text}`)
    this.entries++
    this.entryBytes += Buffer.byteLength(text)
    this.characters += text.length
    return this.characters >= pieceCharacters ? this.encode() : undefined
  }

  private encode(): Uint8Array {
    const piece = Buffer.from(this.texts.join(""), "utf8")
    this.texts = []
    this.characters = 0
    this.crc = crc32(piece, this.crc)
    this.bytes += piece.length
    return piece
  }

  /** The rest of it, after which the next file begins. */
  *end(at: LogOffset | undefined): Generator<FoldOutput> {
    if (this.texts.length > 0) yield { piece: this.encode() }
    const { bytes, crc, entries, entryBytes } = this
    this.crc = 0
    this.bytes = 0
    this.entries = 0
    this.entryBytes = 0
    yield { end: { bytes, crc, entries, entryBytes, at } }
  }
}
