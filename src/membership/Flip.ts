import type { LinkKey, SubselectKind } from "../where/index.ts"
import type { Asked } from "./Subselect.ts"

/**
 * What a transaction changes of what a sub-select gives, and which rows that can matter to. `link` and `group` are the keys
 * of their side: of `group` and `probe`, and of `group`.
 *
 * - `entered`, `left`: a link. Rows that have this link.
 * - `null-probes`: whether there are rows in the group at all, or, where several values are selected, which ones there are. Rows of
 *   the group with a NULL in `probe`, for which it is false or NULL.
 * - `nulls`: rows with a NULL in what they give. All rows of the group, those aside to which it gives true: false or NULL.
 * - `whole`: the only value, or rows that a loop goes through. All rows of the group.
 */
export type Flip = {
  readonly kind: SubselectKind
  readonly asked: Asked
  readonly constants: string
} & (
  | { readonly how: "entered" | "left"; readonly link: LinkKey }
  | { readonly how: "null-probes" | "nulls" | "whole"; readonly group: LinkKey }
)
