import { Data, Effect } from "effect"
import { unlessAway } from "./BucketStatus.ts"
import { type StorageFault, fromDisk } from "./disk/DiskFault.ts"
import type { JournalWriter } from "./journal/JournalWriter.ts"
import type { StorageEngine } from "./StorageEngine.ts"

/** What was to become durable does not any more, or counts no more: this instance has stopped writing, or was fenced off. */
export class NotWriting extends Data.TaggedError("NotWriting") {
  override readonly message =
    "This instance does not write storage any more: it has given it back, or another instance has taken over. " +
    "It asks for the lock again and goes on from what is stored; nothing is to be done"
}

// What the writer gives never rejects: what the disk refuses is the writer's own to deal with.
const orNotWriting = (reached: () => Promise<boolean>): Effect.Effect<void, NotWriting> =>
  Effect.flatMap(Effect.promise(reached), (isReached) =>
    isReached ? Effect.void : Effect.fail(new NotWriting())
  )

/**
 * Completes once every record composed before now is durable, however long the disk refuses (the writer asks it again for
 * ever); fails when the writer is closed before. Interruptible. For waits of a batch or longer, not for rows.
 */
export const durableIn = (writer: JournalWriter | undefined): Effect.Effect<void, NotWriting> =>
  writer === undefined ? Effect.fail(new NotWriting()) : orNotWriting(() => writer.durable())

/** The same for what is in its file, and may not be durable yet. */
export const writtenIn = (writer: JournalWriter): Effect.Effect<void, NotWriting> =>
  orNotWriting(() => writer.written())

/**
 * `durableIn` of the engine's writer of the moment, which also had no successor then: what was written will be read. Fails with a
 * `BucketFault` while the bucket is away.
 */
export const settledIn = (engine: StorageEngine): Effect.Effect<void, NotWriting | StorageFault> =>
  Effect.flatMap(
    unlessAway(
      engine.bucketStatus,
      fromDisk(() => engine.settled()),
      ({ fault }) => fault
    ),
    (isSettled) => (isSettled ? Effect.void : Effect.fail(new NotWriting()))
  )
