import type { StorageEngine } from "../storage/StorageEngine.ts"

/** How shapes whose conditions have sub-selects are doing. */
export interface SubselectReport {
  readonly shapes: number
  /** Bytes of WAL that other shapes are ahead of them. */
  readonly behindBytes: number
}

export const subselectReport = ({ processedLsn, store }: StorageEngine): SubselectReport => {
  let shapes = 0
  for (const { members } of store.all()) if (members.length > 0) shapes++
  const { behindLsn, positionLsn } = store
  const reached = processedLsn > positionLsn ? processedLsn : positionLsn
  return { shapes, behindBytes: behindLsn === undefined ? 0 : Math.max(0, Number(reached - behindLsn)) }
}
