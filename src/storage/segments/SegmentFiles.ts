import type { DiskFile } from "../disk/Disk.ts"
import { fill } from "../disk/Files.ts"
import type { JournalEnd } from "../records/Records.ts"
import type { SegmentSum } from "./SegmentSum.ts"
import type { SegmentProofs } from "./SegmentProofs.ts"
import { parseSegmentFile, segmentFile, type StoragePaths } from "../disk/StorageDir.ts"

interface Segment {
  readonly epoch: number
  handle: Promise<DiskFile> | undefined
}

/** A later segment of the epoch is there: so was this one. */
export const isFollowedOnDisk = async (
  { disk, journal }: StoragePaths,
  { epoch, segment }: Pick<JournalEnd, "epoch" | "segment">
): Promise<boolean> =>
  (await disk.list(journal)).some((name) => {
    const parsed = parseSegmentFile(name)
    return parsed?.epoch === epoch && parsed.segment > segment
  })

/** A follower keeps the files of this many segments open: readers may be in the middle of them. */
const segmentsKeptOpen = 8

/** The journal files that entries stand in, opened for reading when they are needed. */
export class SegmentFiles {
  private readonly segments = new Map<number, Segment>()
  /** Segments whose indexes were believed before their bytes were read. */
  private readonly trusted = new Map<number, SegmentSum>()
  private readonly paths: StoragePaths
  private readonly proofs: SegmentProofs

  constructor(paths: StoragePaths, proofs: SegmentProofs) {
    this.paths = paths
    this.proofs = proofs
  }

  /** Nothing is read from this segment, except to prove it, before its bytes have proved to be these. */
  trust(sum: SegmentSum): void {
    this.trusted.set(sum.segment, sum)
  }

  /** Reads what has been trusted, one after the other. False when one of them holds other bytes: load again. */
  async proveAll(): Promise<boolean> {
    for (const segment of [...this.trusted.keys()].toSorted((a, b) => b - a))
      if (!(await this.prove(segment))) return false
    return true
  }

  private async prove(segment: number): Promise<boolean> {
    const sum = this.trusted.get(segment)
    if (sum === undefined) return true
    if (!(await this.proofs.prove(sum))) return false
    if (this.trusted.get(segment) === sum) this.trusted.delete(segment)
    return true
  }

  /** A later epoch may begin a segment number again that a fenced-off one has used: the later one counts. */
  known(epoch: number, segment: number): void {
    const before = this.segments.get(segment)
    if (before?.epoch === epoch) return
    if (before !== undefined) void closeQuietly(before.handle)
    this.trusted.delete(segment)
    this.segments.set(segment, { epoch, handle: undefined })
  }

  /** A follower has got to this segment. */
  readingFrom(epoch: number, segment: number): void {
    this.known(epoch, segment)
    this.closeBefore(segment - segmentsKeptOpen)
  }

  epochOf(segment: number): number | undefined {
    return this.segments.get(segment)?.epoch
  }

  numbers(): ReadonlyArray<number> {
    return [...this.segments.keys()].toSorted((a, b) => a - b)
  }

  private handle(segment: number): Promise<DiskFile> {
    const found = this.segments.get(segment)
    if (found === undefined) return Promise.reject(new Error(`journal segment ${segment} is not known`))
    if (found.handle === undefined) {
      const opening = this.open(segmentFile(this.paths, found.epoch, segment))
      found.handle = opening
      opening.catch(() => {
        if (found.handle === opening) found.handle = undefined
      })
    }
    return found.handle
  }

  private async open(path: string): Promise<DiskFile> {
    const file = await this.paths.disk.open(path)
    if (file === undefined) throw new Error(`${path} is gone`)
    return file
  }

  /** Through a file of its own, which shows the segment as it is now: the other one may have been opened when it was shorter. */
  private async anew<A>(segment: number, use: (file: DiskFile) => Promise<A>): Promise<A> {
    const file = await this.open(segmentFile(this.paths, this.epochOf(segment) ?? 0, segment))
    try {
      return await use(file)
    } finally {
      await file.close()
    }
  }

  async sizeOf(segment: number): Promise<number> {
    return this.paths.disk.mayBeLate ? this.anew(segment, sizeOfFile) : sizeOfFile(await this.handle(segment))
  }

  /** Fills `into` from `position` on; false when the file ends before. */
  async read(segment: number, position: number, into: Buffer): Promise<boolean> {
    if (this.trusted.has(segment) && !(await this.prove(segment)))
      throw new Error(`journal segment ${segment} is damaged, and is read again`)
    if (await fill(await this.handle(segment), position, into)) return true
    return this.paths.disk.mayBeLate ? this.anew(segment, (file) => fill(file, position, into)) : false
  }

  /** The segment's entries stand elsewhere now. Readers that are in the middle of it keep their file. */
  async forget(segment: number): Promise<void> {
    const found = this.segments.get(segment)
    this.segments.delete(segment)
    this.trusted.delete(segment)
    await closeQuietly(found?.handle)
  }

  /**
   * Closes the files before `segment`, which the writer may have removed: open, they would go on taking space. What
   * stands in one all the same is read from it again if it is still there.
   */
  private closeBefore(segment: number): void {
    for (const [number, found] of this.segments) {
      if (number >= segment || found.handle === undefined) continue
      const { handle } = found
      found.handle = undefined
      void closeQuietly(handle)
    }
  }

  async close(): Promise<void> {
    for (const segment of this.numbers()) await this.forget(segment)
  }
}

const sizeOfFile = async (file: DiskFile): Promise<number> => (await file.stat()).size

const closeQuietly = async (handle: Promise<DiskFile> | undefined): Promise<void> => {
  try {
    await (await handle)?.close()
  } catch {
    // It could not be opened, so there is nothing to close.
  }
}
