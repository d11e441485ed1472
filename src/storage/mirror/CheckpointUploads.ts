import { filesUpTo } from "./CheckpointFiles.ts"
import { isUploadDue, uploadCheckpoint } from "./CheckpointUpload.ts"
import type { MirrorContext } from "./MirrorContext.ts"

type UploadContext = Pick<MirrorContext, "store" | "chain" | "paths" | "objects" | "timers">

/**
 * Brings what a writer has into the bucket as a checkpoint, as often as that is worth it: so a start reads little of the chain,
 * which need not be kept for ever. One for each turn as writer.
 */
export class CheckpointUploads {
  private readonly context: UploadContext
  private readonly announce: (key: string) => void
  private isFirst = true
  private sinceMillis: number

  /** `announce`: it is there, and others are to be told in the chain. */
  constructor(context: UploadContext, announce: (key: string) => void) {
    this.context = context
    this.announce = announce
    this.sinceMillis = context.timers.nowMillis()
  }

  /**
   * To be called from time to time, whether a local checkpoint was written or not; none may be written before it completes, and
   * nothing of the journal be removed. Gives the key if one was uploaded. Fails with a `BucketFault` or a `DiskFault`; it may be
   * called again.
   */
  async round(): Promise<string | undefined> {
    const { chain, objects, paths, store, timers } = this.context
    const { place } = chain
    const { totalBytes } = objects
    // Looking what there is costs some calls of the disk.
    if (objects.bytes === 0) return undefined
    const files = await filesUpTo(paths, place)
    if (files === undefined) return undefined
    const isDue = isUploadDue({
      chainBytes: objects.bytes,
      chainObjects: objects.count,
      checkpointBytes: files.bytes,
      millis: timers.nowMillis() - this.sinceMillis,
      isFirst: this.isFirst
    })
    if (!isDue) return undefined
    const key = await uploadCheckpoint(store, paths, place, files)
    this.isFirst = false
    this.sinceMillis = timers.nowMillis()
    objects.checkpointed(place.next, totalBytes)
    this.announce(key)
    return key
  }
}
