import { join } from "node:path"
import { readEpochs } from "./journal/Epochs.ts"
import { indexedBytes, writeIndex } from "./segments/SegmentIndexFiles.ts"
import { SegmentScan } from "./segments/SegmentScan.ts"
import { parseSegmentFile } from "./disk/StorageDir.ts"
import type { StorageEngine } from "./StorageEngine.ts"
import { indexIdleMillis } from "./StorageTimings.ts"

/** Read at a time: other work comes in between. */
const readBytes = 1 << 20

interface Scanned {
  readonly epoch: number
  readonly segment: number
  /** What has been read; `undefined` until there is something to do, and when there has been nothing for a while. */
  scan: SegmentScan | undefined
  /** Where the index ends that has been written last. */
  written: number
  end: number
  grownAtMillis: number
}

/**
 * Writes the indexes of the writing instance's journal, behind its back: of each segment once it is finished, and of the
 * present one whenever it has grown by a quarter of what a segment is to hold. What is smaller is quickly read without.
 * Nothing depends on it but how long a start takes.
 */
export class SegmentIndexer {
  private readonly engine: StorageEngine
  private readonly stepBytes: number
  /** Segments that are done with. */
  private readonly done = new Set<number>()
  private current: Scanned | undefined
  private nextRemoval = 0

  constructor(engine: StorageEngine, stepBytes = engine.options.segmentBytes >>> 2) {
    this.engine = engine
    this.stepBytes = stepBytes
  }

  /** Brings the indexes up to date. Fails when the journal cannot be read or an index cannot be written: try again later. */
  async round(): Promise<void> {
    const { engine } = this
    const { writer } = engine
    if (writer === undefined) return
    for (let segment = engine.oldestSegment; segment <= writer.segment; segment++) {
      if (!this.done.has(segment)) await this.index(segment, segment < writer.progress.openSegment)
      if (engine.writer !== writer) return
    }
    for (const segment of this.done) if (segment < engine.oldestSegment) this.done.delete(segment)
    if (engine.oldestSegment >= this.nextRemoval) {
      this.nextRemoval = engine.oldestSegment + 1
      await this.removeOld()
    }
  }

  private async index(segment: number, isFinished: boolean): Promise<void> {
    const { paths, segments, timers } = this.engine
    const epoch = segments.epochOf(segment)
    if (epoch === undefined) return
    const end = await this.endOf(epoch, segment)
    const nowMillis = timers.nowMillis()
    let { current } = this
    if (current?.epoch !== epoch || current.segment !== segment) {
      const written = isFinished ? await indexedBytes(paths, epoch, segment) : 0
      // One that goes further is of no use to anybody.
      current = {
        epoch,
        segment,
        scan: undefined,
        written: written <= end ? written : 0,
        end,
        grownAtMillis: nowMillis
      }
      this.current = current
    }
    if (end > current.end) {
      current.end = end
      current.grownAtMillis = nowMillis
    }
    const worth = isFinished ? 1 : this.stepBytes
    if (end >= this.stepBytes && end - current.written >= worth) {
      const scan = (current.scan ??= new SegmentScan(epoch, segment))
      await this.read(scan, end)
      const words =
        scan.end - current.written >= worth ? scan.encode(isFinished && scan.end === end) : undefined
      if (words !== undefined) {
        if (await this.engine.isFenced()) return
        await writeIndex(paths, epoch, segment, words)
        current.written = scan.end
      }
    } else if (nowMillis - current.grownAtMillis >= indexIdleMillis) current.scan = undefined
    if (!isFinished) return
    this.done.add(segment)
    this.current = undefined
  }

  /** Bytes of the segment that there are; no more than count, where its epoch is over. */
  private async endOf(epoch: number, segment: number): Promise<number> {
    const { paths, segments } = this.engine
    const size = await segments.sizeOf(segment)
    if ((segments.epochOf(segment + 1) ?? epoch) === epoch) return size
    const next = (await readEpochs(paths, epoch)).find(({ previous }) => previous?.epoch === epoch)
    return next?.previous?.segment === segment ? Math.min(size, next.previous.position) : 0
  }

  private async read(scan: SegmentScan, end: number): Promise<void> {
    let buffer = Buffer.allocUnsafeSlow(readBytes)
    while (scan.end < end && !scan.hopeless) {
      const piece = buffer.subarray(0, Math.min(buffer.length, end - scan.end))
      if (!(await this.engine.segments.read(scan.segment, scan.end, piece))) return
      if ((await scan.feed(piece, piece.length)) > 0) continue
      // One record is longer than that, or not whole yet.
      if (piece.length < buffer.length) return
      buffer = Buffer.allocUnsafeSlow(buffer.length * 4)
    }
  }

  /** Indexes of segments that are gone, or do not count. */
  private async removeOld(): Promise<void> {
    const { oldestSegment, paths, segments, writer } = this.engine
    const names = await paths.disk.list(paths.indexes)
    if (writer === undefined || (await this.engine.isFenced())) return
    for (const name of names) {
      const file = parseSegmentFile(name.slice(0, 17))
      if (file !== undefined && file.epoch > writer.epoch) continue
      const isWanted = name.length === 17 && file !== undefined && file.segment >= oldestSegment
      if (!isWanted || segments.epochOf(file.segment) !== file.epoch)
        await paths.disk.remove(join(paths.indexes, name))
    }
  }
}
