import type { Notice } from "../records/Records.ts"
import type { DormantShapes } from "./DormantShapes.ts"
import type { ShapeState } from "./ShapeState.ts"

type MovedShape = Extract<Notice, { t: "moved" }>["shapes"][number]

/**
 * What stood in the journal of a shape up to `segment` stands in files now. Tells of each entry that is not in the journal any
 * more. One that was dormant is so again, as a start tells of very many: awake together they would fill memory.
 */
export const applyMove = (
  shape: ShapeState,
  { chunks, files }: MovedShape,
  segment: number,
  { chunkBytesThreshold, dormant }: { readonly chunkBytesThreshold: number; readonly dormant: DormantShapes },
  moved: (segment: number) => void
): void => {
  const { isDormant } = shape
  shape.wake()
  for (const { index, ...sum } of chunks) {
    const known = shape.snapshotChunks[index]
    // The same chunk may come again, and stands in another pack then.
    if (known?._tag !== "File" || (known.extents !== undefined && known.crc === sum.crc))
      shape.setChunk(index, { _tag: "File", ...sum })
  }
  for (const file of files) shape.setFile(file)
  const { tail } = shape
  if (tail !== undefined) {
    const n = tail.countUpToSegment(segment)
    for (let i = 0; i < n; i++) moved(tail.segment(i))
    if (n === tail.count) shape.tail = undefined
    else if (n > 0) tail.dropFirst(n)
  }
  shape.dirty = true
  shape.recount(chunkBytesThreshold)
  if (isDormant) shape.sleep(dormant)
}
