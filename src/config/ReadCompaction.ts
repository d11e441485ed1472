import type { BatonConfig } from "./BatonConfig.ts"
import type { EnvironmentReader } from "./EnvironmentReader.ts"
import { variables as v } from "./Variables.ts"

/** What the environment says of compaction; all of it is read, so that all that is wrong with it is said. */
export const readCompaction = (reader: EnvironmentReader): BatonConfig["compaction"] => {
  const settings = {
    garbagePercent: reader.read(v.compactionGarbage),
    leastBytes: reader.read(v.compactionMinSize),
    retentionMillis: reader.read(v.logRetention),
    retentionPercent: reader.read(v.logRetentionSize)
  }
  return reader.read(v.compaction) ? settings : undefined
}

/** The journal takes about five segments of it, so below this there would be room for little else. */
const leastSegments = 10

/** How much storage may take. */
export const readMaxStorage = (reader: EnvironmentReader): number | undefined => {
  const maxBytes = reader.optional(v.maxStorage)
  const leastBytes = leastSegments * reader.read(v.journalSegmentBytes)
  if (maxBytes !== undefined && maxBytes < leastBytes)
    reader.problem(
      `${v.maxStorage.name} is less than ${leastSegments} times ${v.journalSegmentBytes.name}, which is ${leastBytes} bytes: raise it, or set smaller segments`
    )
  return maxBytes
}
