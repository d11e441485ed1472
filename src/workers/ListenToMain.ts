import type { Inspector } from "../postgres/catalogue/Inspector.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { Listener, MainLink } from "./MainLink.ts"

/** Keeps what a worker knows true: of shapes that are gone, and of tables that have changed. */
export const listenToMain = (
  main: MainLink,
  engine: StorageEngine,
  inspector: Pick<Inspector["Service"], "invalidate">,
  others: Pick<Listener, "drain" | "expire" | "report">
): void => {
  // A shape that is dropped may be so because its table has changed.
  engine.listeners.dropped.subscribe((shape) => inspector.invalidate(shape.common.table.oid))
  main.listen({
    ...others,
    readers: (id, shapes) =>
      main.send({
        _tag: "Readers",
        id,
        counts: shapes.map((shape) => engine.store.get(shape)?.waiters?.size ?? 0)
      }),
    tableChanged: (oid) => inspector.invalidate(oid),
    dropped: (ids) => {
      for (const id of ids) engine.store.drop(id, "dropped by the main process")
    }
  })
}
