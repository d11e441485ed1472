import { crc32 } from "node:zlib"
import type { Extent } from "../records/Records.ts"
import { type Asking, createOwn } from "./CreateOwn.ts"
import { packKey, packName } from "./Extents.ts"

/** A pack is sent when it holds so much. */
const enoughBytes = 8 << 20
/** Larger than this only where one piece is. */
const mostBytes = 16 << 20

/** Names of the packs that one writer makes: none is given twice. */
export class PackNames {
  private readonly epoch: number
  private sequence = 0

  constructor(epoch: number) {
    this.epoch = epoch
  }

  next(): string {
    return packName(this.epoch, this.sequence++)
  }
}

/**
 * Gathers pieces of files, of many shapes, in packs of 8 to 16 MiB, for one move. One pack is sent while the next is gathered, and
 * who adds to it waits otherwise: so memory is bounded. Nothing counts before `finish` has completed.
 */
export class PackWriter {
  private readonly asking: Asking
  private readonly names: Pick<PackNames, "next">
  private name: string | undefined
  private pieces: Array<Uint8Array> = []
  private bytes = 0
  /** Completes when all packs that were sealed are there. */
  private sent: Promise<void> = Promise.resolve()
  /** Completes when there is room for another one beside that. */
  private room: Promise<void> = Promise.resolve()

  constructor(asking: Asking, names: Pick<PackNames, "next">) {
    this.asking = asking
    this.names = names
  }

  /**
   * Takes one piece, which may be in parts. Their memory must not change. Tells where it stands, or will: see `finish`. Fails with a
   * `BucketFault` when what was added before could not be sent.
   */
  async add(parts: ReadonlyArray<Uint8Array>): Promise<Extent> {
    await this.room
    let bytes = 0
    let crc = 0
    for (const part of parts) {
      bytes += part.length
      crc = crc32(part, crc)
    }
    if (this.bytes > 0 && this.bytes + bytes > mostBytes) this.seal()
    this.name ??= this.names.next()
    const extent = { pack: this.name, at: this.bytes, bytes, crc }
    this.pieces.push(...parts)
    this.bytes += bytes
    if (this.bytes >= enoughBytes) this.seal()
    return extent
  }

  private seal(): void {
    const { name, pieces, sent } = this
    if (name === undefined) return
    this.name = undefined
    this.pieces = []
    this.bytes = 0
    this.room = sent
    this.sent = sent.then(() => createOwn(this.asking, packKey(name), pieces))
    // Who adds, or finishes, is told.
    this.sent.catch(() => {})
  }

  /** Everything that was added stands in the bucket when this completes. Fails with a `BucketFault`. */
  async finish(): Promise<void> {
    this.seal()
    await this.sent
  }
}
