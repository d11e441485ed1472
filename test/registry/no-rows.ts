import { Effect } from "effect"
import type { SnapshotRequest } from "../../src/registry/snapshot/Snapshotter.ts"

/** Snapshots without rows, of no transaction. */
export const snapshotter = {
  run: <E>({ onSnapshot, sink }: SnapshotRequest<E>) =>
    Effect.gen(function* () {
      yield* onSnapshot({ xmin: 1n, xmax: 1n, xipList: [], walLsn: 0n, containedBefore: 0n })
      yield* sink.write(Buffer.from(`{"headers":{"control":"snapshot-end"}}`))
      yield* sink.end()
    })
}
