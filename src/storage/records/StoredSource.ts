/** Where changes come from: a slot of a database cluster. */
export interface StreamSource {
  readonly systemId: string
  readonly timeline: number
  readonly slot: string
  /** What is added to the positions of this source for those of the journal; left out where they are the same. See `Lsn`. */
  readonly shift?: bigint
}

/** How it stands in the journal and in checkpoints. */
export interface StoredSource {
  readonly systemId: string
  readonly timeline: number
  readonly slot: string
  readonly shift?: string
}

/** Of no slot: a release that knows of no shift takes the source for one that is not its own, and starts over. */
const shifted = " (shifted)"

export const encodeSource = ({ shift = 0n, slot, systemId, timeline }: StreamSource): StoredSource =>
  shift === 0n
    ? { systemId, timeline, slot }
    : { systemId, timeline, slot: `${slot}${shifted}`, shift: String(shift) }

export const decodeSource = ({ shift, slot, systemId, timeline }: StoredSource): StreamSource =>
  shift === undefined
    ? { systemId, timeline, slot }
    : {
        systemId,
        timeline,
        slot: slot.endsWith(shifted) ? slot.slice(0, -shifted.length) : slot,
        shift: BigInt(shift)
      }

/**
 * Whether ids of transactions that went by before say nothing of snapshots from now on: they are of another history, which positions
 * alone may not tell; or shapes are compared with the database, in a snapshot in which all of them are over.
 */
export const startsHistory = (
  known: StreamSource | undefined,
  next: StoredSource & { readonly lost?: unknown }
): boolean => known !== undefined && (next.lost !== undefined || !isOneHistory(known, decodeSource(next)))

/** Positions and transaction ids of the two mean the same. */
const isOneHistory = (a: StreamSource, b: StreamSource): boolean =>
  a.systemId === b.systemId && a.timeline === b.timeline && (a.shift ?? 0n) === (b.shift ?? 0n)
