import type { LinkKey } from "../../where/index.ts"
import type { Asked } from "./LinkReader.ts"

/** Which rows of a working set a change of a sub-select can matter to: see `Flip`. */
export type Concerned =
  { readonly link: LinkKey } | { readonly group: LinkKey; readonly only: "nullProbes" | "all" }

interface Group<Row> {
  readonly byLink: Map<LinkKey, Set<Row>>
  /** With a NULL among the values of `probe`. */
  readonly nullProbes: Set<Row>
}

/** Rows by what they ask a sub-select with. */
export class LinkIndex<Row> {
  private readonly groups = new Map<LinkKey, Group<Row>>()
  /** The groups that links are in: a link alone does not tell its group. */
  private readonly groupOf = new Map<LinkKey, LinkKey>()

  add(row: Row, { group, link }: Asked): void {
    let found = this.groups.get(group)
    if (found === undefined)
      this.groups.set(group, (found = { byLink: new Map<LinkKey, Set<Row>>(), nullProbes: new Set() }))
    if (link === null) {
      found.nullProbes.add(row)
      return
    }
    this.groupOf.set(link, group)
    const rows = found.byLink.get(link)
    if (rows === undefined) found.byLink.set(link, new Set([row]))
    else rows.add(row)
  }

  remove(row: Row, { group, link }: Asked): void {
    const found = this.groups.get(group)
    if (found === undefined) return
    if (link === null) found.nullProbes.delete(row)
    else {
      const rows = found.byLink.get(link)
      rows?.delete(row)
      if (rows?.size === 0) {
        found.byLink.delete(link)
        this.groupOf.delete(link)
      }
    }
    if (found.nullProbes.size === 0 && found.byLink.size === 0) this.groups.delete(group)
  }

  *concerned(which: Concerned): Iterable<Row> {
    if ("link" in which) {
      const rows = this.groups.get(this.groupOf.get(which.link))?.byLink.get(which.link)
      if (rows !== undefined) yield* rows
      return
    }
    const group = this.groups.get(which.group)
    if (group === undefined) return
    yield* group.nullProbes
    if (which.only === "all") for (const rows of group.byLink.values()) yield* rows
  }
}
