import { join } from "node:path"
import type { ChainObject, JournalRange, Opening, SmallFile } from "../chain/ChainObject.ts"
import type { DiskFile } from "../disk/Disk.ts"
import { writeFully, writeWhole } from "../disk/Files.ts"
import { segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { publishEpoch } from "../journal/Epochs.ts"
import type { JournalEnd } from "../records/Records.ts"
import { schemaFileNames } from "../SchemaFiles.ts"

/** Files of the journal that stay open: there is one that grows, and another one for a moment. */
const openFiles = 4

/**
 * Writes what comes from elsewhere into the journal of a directory that is this process' own, where the follower and HTTP workers
 * read it: objects of the chain, and the bytes that the writer shows before they are in the chain. Each may come again, in whole or
 * in part, and changes nothing then. All of a segment is there before anything of the next one, and of an epoch before the
 * next is opened, as readers of the journal expect. Nothing is made durable.
 * Fails with the disk: what was under way may be there in part, and is to come again.
 */
export class LocalJournal {
  private readonly paths: StoragePaths
  private readonly open = new Map<string, DiskFile>()
  private reached: JournalEnd = { epoch: 0, segment: 0, position: 0 }
  private firstSegment = 0
  /** One thing at a time, in the order in which it came. */
  private turns: Promise<unknown> = Promise.resolve()

  constructor(paths: StoragePaths) {
    this.paths = paths
  }

  /** Up to where the journal of the newest epoch stands here without a gap: the writer is to be asked for what comes behind. */
  get end(): JournalEnd {
    return this.reached
  }

  /** Begins anew: what stands before `end` is there, as far as anybody reads it, which is from `segment` on. */
  startAt(end: JournalEnd, segment: number): Promise<void> {
    return this.inTurn(async () => {
      await this.closeAll()
      this.reached = end
      this.firstSegment = segment
    })
  }

  /** Somebody else has written here meanwhile, up to this. */
  continueFrom(end: JournalEnd): Promise<void> {
    return this.inTurn(async () => {
      await this.closeAll()
      this.reached = end
    })
  }

  /** Nobody reads the journal before this segment any more: it is not written again, either. */
  beginWith(segment: number): Promise<void> {
    return this.inTurn(async () => {
      this.firstSegment = Math.max(this.firstSegment, segment)
      await this.closeAll()
    })
  }

  /** Completes when all that the object says stands here: ranges first, then the opening, then files. */
  apply({ files, opens, ranges }: Pick<ChainObject, "ranges" | "opens" | "files">): Promise<void> {
    return this.inTurn(async () => {
      for (const range of ranges) await this.applyRange(range)
      if (opens !== undefined) await this.applyOpening(opens)
      for (const file of files ?? []) await this.applyFile(file)
    })
  }

  /**
   * Bytes that the writer of the newest epoch has shown, whole records. False: there is a gap before them, or they belong to another
   * epoch, and nothing was written. Then `end` is where to go on.
   */
  applyBytes(epoch: number, segment: number, position: number, bytes: Uint8Array): Promise<boolean> {
    return this.inTurn(async () => {
      const { reached } = this
      const follows =
        epoch === reached.epoch &&
        ((segment === reached.segment && position <= reached.position) ||
          (segment === reached.segment + 1 && position === 0))
      if (follows) await this.applyRange({ epoch, segment, position, bytes })
      return follows
    })
  }

  /** Lets go of files. */
  close(): Promise<void> {
    return this.inTurn(() => this.closeAll())
  }

  private inTurn<A>(work: () => Promise<A>): Promise<A> {
    const result = this.turns.then(work)
    this.turns = result.catch(() => {})
    return result
  }

  private async applyRange({ bytes, epoch, position, segment }: JournalRange): Promise<void> {
    if (segment >= this.firstSegment)
      await this.write(segmentFile(this.paths, epoch, segment), bytes, position)
    const { reached } = this
    if (epoch !== reached.epoch) return
    const end = position + bytes.length
    if (segment > reached.segment || (segment === reached.segment && end > reached.position))
      this.reached = { epoch, segment, position: end }
  }

  private async write(path: string, bytes: Uint8Array, position: number): Promise<void> {
    const file = await this.file(path)
    try {
      await writeFully(file, bytes, position)
    } catch (error) {
      // It may be of no use any more, however often it is tried.
      this.open.delete(path)
      await file.close().catch(() => {})
      throw error
    }
  }

  private async applyOpening(opening: Opening): Promise<void> {
    const { url: _, ...record } = opening
    // It comes again.
    if (record.epoch <= this.reached.epoch) return
    const { previous } = record
    // Its writer did not come to write there, but readers and whoever moves segments expect a file.
    if (previous?.position === 0 && previous.segment >= this.firstSegment)
      await this.file(segmentFile(this.paths, previous.epoch, previous.segment))
    await publishEpoch(this.paths, record)
    this.reached = { epoch: record.epoch, segment: (previous?.segment ?? 0) + 1, position: 0 }
  }

  private async applyFile({ content, name }: SmallFile): Promise<void> {
    // A newer release may keep more of them than this one knows.
    if (schemaFileNames.has(name)) await writeWhole(this.paths.disk, join(this.paths.root, name), content)
  }

  /** Opened to write; what was open for longest is closed for it. */
  private async file(path: string): Promise<DiskFile> {
    const known = this.open.get(path)
    if (known !== undefined) return known
    for (const [oldest, file] of this.open) {
      if (this.open.size < openFiles) break
      this.open.delete(oldest)
      await file.close()
    }
    const file = await this.paths.disk.openToWrite(path, "any")
    this.open.set(path, file)
    return file
  }

  private async closeAll(): Promise<void> {
    const files = [...this.open.values()]
    this.open.clear()
    for (const file of files) await file.close()
  }
}
