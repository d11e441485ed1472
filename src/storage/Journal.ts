import { Context, Effect, Layer } from "effect"
import type { Lsn } from "../shared/Lsn.ts"
import type { JournalEnd } from "./records/Records.ts"
import { Storage } from "./Storage.ts"
import type { TakenOver } from "./EngineOptions.ts"

/**
 * The append-only journal of one replication stream, as its instances share it: one of them writes, the others follow. It
 * starts out following; what is in it is read through `ShapeLogs`.
 */
export class Journal extends Context.Service<
  Journal,
  {
    /** The epoch that this instance writes in; `undefined` while it follows. */
    readonly epoch: () => number | undefined
    /** Where the next record will stand; `undefined` while following. */
    readonly end: () => JournalEnd | undefined
    /** Everything up to here is in the journal, or concerns no shape. */
    readonly positionLsn: () => Lsn
    /**
     * Becomes the writer: claims the next epoch, reads the rest, begins a segment. Only with the lock, which `holdsLock` is
     * asked about before anything is claimed or published; `undefined` when it said no.
     */
    readonly takeOver: (holdsLock?: () => Promise<boolean>) => Effect.Effect<TakenOver | undefined>
    /** Makes what was written durable (for at most `limitMillis`), and follows again. Nothing happens while following. */
    readonly release: (limitMillis: number) => Effect.Effect<void>
    /** True once every record written so far is durable and nobody had claimed a later epoch at that moment. */
    readonly settled: Effect.Effect<boolean>
    /** Somebody has claimed a later epoch, or this instance does not write. */
    readonly isFenced: Effect.Effect<boolean>
  }
>()("baton/storage/Journal") {
  static readonly layer: Layer.Layer<Journal, never, Storage> = Layer.effect(
    Journal,
    Effect.map(Storage, ({ engine }) =>
      Journal.of({
        epoch: () => engine.writer?.epoch,
        end: () => {
          const { writer } = engine
          return writer === undefined
            ? undefined
            : { epoch: writer.epoch, segment: writer.segment, position: writer.position }
        },
        positionLsn: () => engine.store.positionLsn,
        takeOver: (holdsLock) => Effect.promise(() => engine.takeOver(holdsLock)),
        release: (limitMillis) => Effect.promise(() => engine.release(limitMillis)),
        settled: Effect.promise(() => engine.settled()),
        isFenced: Effect.promise(() => engine.isFenced())
      })
    )
  )
}
