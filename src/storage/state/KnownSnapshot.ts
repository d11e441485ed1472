import type { SnapshotVisibility } from "../records/Records.ts"
import { type SnapshotFilter, snapshotFilter } from "./SnapshotFilter.ts"

/** What is known of a snapshot. Shapes that are made at the same time share it. */
export interface KnownSnapshot {
  readonly visibility: SnapshotVisibility
  readonly filter: SnapshotFilter
  readonly containedBefore: bigint | undefined
}

let latest: KnownSnapshot | undefined

export const snapshotOf = (visibility: SnapshotVisibility): KnownSnapshot => {
  if (latest !== undefined && isSame(latest.visibility, visibility)) return latest
  const { containedBefore } = visibility
  latest = {
    visibility,
    filter: snapshotFilter(visibility),
    containedBefore: containedBefore === undefined ? undefined : BigInt(containedBefore)
  }
  return latest
}

const isSame = (a: SnapshotVisibility, b: SnapshotVisibility): boolean =>
  a.xmin === b.xmin &&
  a.xmax === b.xmax &&
  a.containedBefore === b.containedBefore &&
  a.xipList.join() === b.xipList.join()

/** The same as a short text. */
export const visibilityText = ({ containedBefore, xipList, xmax, xmin }: SnapshotVisibility): string =>
  `${xmin} ${xmax} ${xipList.join(",")} ${containedBefore ?? ""}`

let latestText = ""
let ofLatestText: KnownSnapshot | undefined

/** The snapshot of such a text. Shapes that wake one after the other were made one after the other, mostly. */
export const snapshotOfText = (text: string): KnownSnapshot => {
  if (ofLatestText !== undefined && text === latestText) return ofLatestText
  latestText = text
  ofLatestText = snapshotOf(visibilityOf(text))
  return ofLatestText
}

const visibilityOf = (text: string): SnapshotVisibility => {
  const [xmin = "", xmax = "", xips = "", containedBefore = ""] = text.split(" ")
  return {
    xmin,
    xmax,
    xipList: xips === "" ? [] : xips.split(","),
    ...(containedBefore === "" ? {} : { containedBefore })
  }
}
