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

const visibilityText = ({ containedBefore, xipList, xmax, xmin }: SnapshotVisibility): string =>
  `${xmin} ${xmax} ${xipList.join(",")} ${containedBefore ?? ""}`

let latestWritten: SnapshotVisibility | undefined
let writtenText = ""

/** The same as a short text. */
export const snapshotText = ({ visibility }: KnownSnapshot): string => {
  if (visibility !== latestWritten) {
    latestWritten = visibility
    writtenText = visibilityText(visibility)
  }
  return writtenText
}

let latestRead = Buffer.alloc(0)
let ofLatestRead: KnownSnapshot | undefined

/** The snapshot of such a text, which stands there. Shapes that wake one after the other were made one after the other, mostly. */
export const snapshotIn = (bytes: Buffer, start: number, end: number): KnownSnapshot => {
  if (ofLatestRead !== undefined && isLatestRead(bytes, start, end)) return ofLatestRead
  latestRead = Buffer.from(bytes.subarray(start, end))
  ofLatestRead = snapshotOf(visibilityOf(latestRead.toString()))
  return ofLatestRead
}

const isLatestRead = (bytes: Buffer, start: number, end: number): boolean => {
  const { length } = latestRead
  if (end - start !== length) return false
  for (let i = 0; i < length; i++) if (bytes[start + i] !== latestRead[i]) return false
  return true
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
