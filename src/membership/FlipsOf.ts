import type { LinkKey } from "../where/index.ts"
import type { Flip } from "./Flip.ts"
import type { Subscription } from "./Subscription.ts"

/** What the open transaction changes of what a sub-select gives. */
export function* flipsOf(subscription: Subscription): Iterable<Flip> {
  const { asked, change, constants, counts, isKnown, kind, of } = subscription
  if (change === undefined || !isKnown) return
  const { links, width } = of
  const all = new Set<LinkKey>()
  const nullProbes = new Set<LinkKey>()
  for (const [id, delta] of change.deltas) {
    const before = counts.of(id)
    const toggled = before > 0 !== before + delta > 0
    // Of several rows with one value there is no only one, but with DISTINCT.
    if (asked !== "set" && (toggled || kind.plan.distinct !== true)) all.add(links.groupOf(id))
    if (asked !== "set" || !toggled) continue
    if (links.specialOf(id) !== undefined) all.add(links.groupOf(id))
    else {
      yield { kind, asked, constants, how: before > 0 ? "left" : "entered", link: links.linkOf(id) }
      if (width > 1) nullProbes.add(links.groupOf(id))
    }
  }
  if (asked === "set")
    for (const [group, delta] of change.groups) {
      const before = subscription.idsInGroup(group, false)
      if (before > 0 !== before + delta > 0) nullProbes.add(group)
    }
  for (const group of all) yield { kind, asked, constants, how: asked === "set" ? "nulls" : "whole", group }
  for (const group of nullProbes)
    if (!all.has(group)) yield { kind, asked, constants, how: "null-probes", group }
}
