/** Where storage stands with respect to `BATON_MAX_STORAGE`. The writer's quota sets it, and compaction goes by it. */
export interface StoragePressure {
  /** Undefined: there is no limit, or this process does not write. */
  limitBytes: number | undefined
  /** What counts for the limit, as of the last look. */
  usedBytes: number
  /** Room is short: logs are compacted that it would not be worth it for otherwise, and less is kept beside the rows. */
  isShort: boolean
  /** While room is short: a look at all shapes has ended that found nothing to compact, or left over from compaction. */
  isExhausted: boolean
}

export const noPressure = (): StoragePressure => ({
  limitBytes: undefined,
  usedBytes: 0,
  isShort: false,
  isExhausted: false
})
