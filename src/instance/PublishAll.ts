import { Effect } from "effect"
import type { RegistrySession, SessionOptions } from "../registry/RegistrySession.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import type { CatalogueRecord } from "./duties/CatalogueRecord.ts"

/** Tables that are published at the same time. */
const publishedAtOnce = 4

/**
 * Has the tables of all shapes published as they were when these were made, and takes down how they are: what they were
 * before does not count any more, because shapes are about to be compared with the database itself. Shapes for which that is
 * not possible are dropped.
 */
export const publishAll = (
  record: Pick<CatalogueRecord, "forget">,
  shapes: RegistrySession["shapes"],
  publish: SessionOptions["publish"],
  drop: RegistrySession["drop"]
): Effect.Effect<void> =>
  Effect.suspend(() => {
    record.forget(shapes)
    return Effect.forEach(
      alikeIn(shapes),
      ({ alike, definition }) =>
        Effect.catch(publish(definition), ({ message }) =>
          Effect.sync(() => drop(alike, `its table cannot be followed any more: ${message}`))
        ),
      { concurrency: publishedAtOnce, discard: true }
    )
  })

/** Shapes that need the same of the same tables. */
const alikeIn = (
  shapes: RegistrySession["shapes"]
): ReadonlyArray<{ readonly definition: ShapeDefinition; readonly alike: ReadonlyArray<ShapeState> }> => {
  const groups = new Map<
    string,
    { readonly definition: ShapeDefinition; readonly alike: Array<ShapeState> }
  >()
  for (const { oid } of shapes.tables())
    for (const shape of shapes.on(oid)) {
      const { definition } = shape
      const { columns, where, whereColumns } = definition
      const key = JSON.stringify([oid, columns, whereColumns, where?.members])
      const group = groups.get(key)
      if (group === undefined) groups.set(key, { definition, alike: [shape] })
      else group.alike.push(shape)
    }
  return [...groups.values()]
}
