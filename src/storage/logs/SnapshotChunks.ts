import { BoundedMap, weighBytes } from "../../shared/BoundedMap.ts"
import { DamagedFile, type FileSum } from "../disk/FileIntegrity.ts"
import { pieceBytes, wholeFile } from "./FilePieces.ts"
import type { LogSource } from "./ReadPieces.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { snapshotChunkFile } from "../disk/StorageDir.ts"

/** Readers keep a body of the same size beside a chunk for as long as it is here, so in all it can be twice as much. */
const capacityBytes = 16 << 20

const rememberedRequests = 1000

/**
 * Small finished snapshot chunks in memory: what an application asks for on every page load is not read from its file
 * every time. Chunks never change, and handles are never used again, so nothing is ever out of date.
 */
export class SnapshotChunks {
  private readonly source: LogSource
  private readonly cache = new BoundedMap<string, Uint8Array>(capacityBytes, weighBytes)
  /** Chunks that were read once lately. */
  private readonly asked = new BoundedMap<string, true>(rememberedRequests)
  private readonly loading = new Map<string, Promise<Uint8Array>>()

  constructor(source: LogSource) {
    this.source = source
  }

  /** The chunk, where that takes no waiting. One buffer for all readers. */
  now(shape: ShapeState, index: number): Uint8Array | undefined {
    const key = keyOf(shape, index)
    const known = this.cache.get(key)
    if (known !== undefined) return known
    const chunk = shape.chunkAt(index)
    if (chunk?._tag !== "Journal" || chunk.bytes > pieceBytes) return undefined
    const bytes = this.source.memory(chunk.segment, chunk.position, chunk.bytes)
    if (bytes === undefined) return undefined
    // The client for which a shape is made reads it once. It is worth keeping when another one asks.
    return this.wasAsked(key) ? this.keep(key, bytes) : Buffer.from(bytes)
  }

  private wasAsked(key: string): boolean {
    if (this.asked.delete(key)) return true
    this.asked.set(key, true)
    return false
  }

  /** Whether `read` gives the chunk: it is whole and small. */
  isSmall(shape: ShapeState, index: number): boolean {
    const chunk = shape.chunkAt(index)
    return chunk !== undefined && chunk.bytes <= pieceBytes
  }

  /** Reads a small chunk from its file, or from the journal; readers that come meanwhile wait for the same read. */
  read(shape: ShapeState, index: number): Promise<Uint8Array> {
    const key = keyOf(shape, index)
    const running = this.loading.get(key)
    if (running !== undefined) return running
    const reading = this.load(shape, index)
      .then((bytes) => this.keep(key, bytes))
      .finally(() => this.loading.delete(key))
    this.loading.set(key, reading)
    return reading
  }

  private async load(shape: ShapeState, index: number): Promise<Uint8Array> {
    const chunk = shape.chunkAt(index)
    if (chunk === undefined) throw new Error("the snapshot was given up")
    if (chunk._tag === "Journal") {
      const bytes = Buffer.allocUnsafeSlow(chunk.bytes)
      if (!(await this.source.readSegment(chunk.segment, chunk.position, bytes)))
        throw new Error("journal segment ends early")
      return bytes
    }
    const path = snapshotChunkFile(this.source.paths, shape.handle, index)
    const { integrity } = this.source
    try {
      return await this.readFile(path, chunk)
    } catch (error) {
      // Nobody has been given any of it: what is only a copy can be fetched, and read once more.
      if (integrity.origin === undefined || !(error instanceof DamagedFile) || error.isAtOrigin) throw error
      await integrity.origin.discard(path, error.ino)
    }
    return this.readFile(path, chunk)
  }

  private async readFile(path: string, sum: FileSum): Promise<Buffer> {
    const pieces: Array<Uint8Array> = []
    for await (const piece of wholeFile(this.source.integrity, path, sum, undefined)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** A copy that owns its memory: what was given may be a view of something larger. */
  private keep(key: string, bytes: Uint8Array): Uint8Array {
    const own = Buffer.allocUnsafeSlow(bytes.length)
    own.set(bytes)
    this.cache.set(key, own)
    return own
  }
}

const keyOf = (shape: ShapeState, index: number): string => `${shape.handle} ${index}`
