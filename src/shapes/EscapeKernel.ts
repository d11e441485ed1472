import type { ByteWriter } from "../shared/ByteWriter.ts"
import { escapeModule } from "./EscapeCode.ts"

/** Text that is escaped at once. */
const inputBytes = 32 * 1024
/** Places in the memory, which begins with the table. */
const entryBytes = 8
const inputAt = 256 * entryBytes
const outputAt = 64 * 1024
/** Of 64 KiB each. Text becomes six times as long at most, and is written in steps of sixteen bytes. */
const memoryPages = 5

/** What bytes become that are not copied, which is six bytes each at most. */
type Replacements = ReadonlyMap<number, string>

interface Exports {
  readonly escape: (from: number, until: number, to: number, extra: number) => number
  readonly memory: { readonly buffer: ArrayBuffer }
}

/** What is used of it; the types of Node.js do not have it. */
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}
const { WebAssembly: engine } = globalThis as unknown as { readonly WebAssembly: Engine }

/**
 * Writes text as it stands in quotes, in WebAssembly, which looks at sixteen bytes at a time: a loop of JavaScript takes three to ten
 * times as long. What it works on stands in memory of its own, and the copies to there and back cost next to nothing.
 */
export class EscapeKernel {
  private readonly memory: Buffer
  private readonly escape: Exports["escape"]

  /** For control characters, the quote, the backslash, and what a call names besides. */
  constructor(replacements: Replacements) {
    const { exports } = new engine.Instance(new engine.Module(escapeModule(memoryPages)))
    const { escape, memory } = exports as Exports
    this.escape = escape
    this.memory = Buffer.from(memory.buffer)
    for (const [byte, text] of replacements) {
      const at = byte * entryBytes
      this.memory.write(text, at, "latin1")
      this.memory[at + entryBytes - 1] = text.length
    }
  }

  /** Appends `source[start .. start + length]`, in which `extra` is replaced, too: the quote if there is nothing else. */
  append(w: ByteWriter, source: Buffer, start: number, length: number, extra: number): void {
    const { memory } = this
    for (let from = start, end = start + length; from < end; from += inputBytes) {
      const to = Math.min(end, from + inputBytes)
      source.copy(memory, inputAt, from, to)
      const written = this.escape(inputAt, inputAt + to - from, outputAt, extra)
      w.reserve(written - outputAt)
      w.length += memory.copy(w.buffer, w.length, outputAt, written)
    }
  }
}
