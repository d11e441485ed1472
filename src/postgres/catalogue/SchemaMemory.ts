import { Context, Effect } from "effect"
import type { TableInfo } from "./TableInfo.ts"

/** What the catalogue said before this process began. */
export interface RememberedSchema {
  /** Descriptions of tables that have shapes. */
  readonly tables: Effect.Effect<ReadonlyArray<TableInfo>>
  /** Types, operators and functions, in the form in which their keeper has given them; `undefined` when unknown. */
  readonly types: Effect.Effect<unknown>
}

/**
 * Where to look when the database cannot be asked and nothing was learnt from it yet: an instance that starts during an
 * outage serves the shapes that storage holds all the same. By default nothing is remembered.
 */
export const SchemaMemory = Context.Reference<RememberedSchema>("baton/postgres/SchemaMemory", {
  defaultValue: () => ({ tables: Effect.succeed([]), types: Effect.succeed(undefined) })
})
