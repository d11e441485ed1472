import type { StorageEngine } from "../StorageEngine.ts"
import type { Showing, Shown } from "./Shown.ts"

/** The journal that an engine writes, as long as it does: until it has become a follower again. */
export const engineShowing = (engine: StorageEngine): Showing => ({
  shown: (): Shown | undefined => {
    const writer = engine.lastWriter
    if (writer === undefined) return undefined
    const { epoch } = writer
    return {
      epoch,
      showable: writer.showable,
      composed: { segment: writer.segment, position: writer.position },
      holds: (segment) => engine.segments.epochOf(segment) === epoch,
      memory: (segment, position, length) => writer.memory(segment, position, length),
      read: (segment, position, into) => engine.segments.read(segment, position, into),
      sizeOf: (segment) => engine.segments.sizeOf(segment)
    }
  },
  subscribe: (moved, created) => {
    const ends = [engine.listeners.showable.subscribe(moved), engine.listeners.shipped.subscribe(created)]
    return () => {
      for (const end of ends) end()
    }
  }
})
