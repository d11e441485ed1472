import type { ComplaintTopic } from "../ComplaintTopics.ts"
import type { CreatedObject } from "./TailFrames.ts"

/** Who writes, and from where on its journal is wanted. */
export interface TailTarget {
  /** Base URL of the writer. */
  readonly url: string
  readonly epoch: number
  readonly segment: number
  readonly position: number
}

/** What a mirror does with the tail. */
export interface TailReader {
  /** As far as is known now; `undefined` where nobody is known who could be asked. */
  readonly target: () => TailTarget | undefined
  /**
   * Takes what comes next, in order and without a gap, and is not called again before it completes. False: that is not what is
   * needed now, so `target` is to be asked again.
   */
  readonly applyBytes: (
    epoch: number,
    segment: number,
    position: number,
    bytes: Uint8Array
  ) => boolean | Promise<boolean>
  /** An object of the chain is there, and everything that it holds of this epoch's journal was applied. */
  readonly created: (epoch: number, object: CreatedObject) => void | Promise<void>
  /** Whether the tail can be relied on: told with each change. Not at first. */
  readonly isAlive: (alive: boolean) => void
  /** `topic`: what the trouble is with, as in `Complaints`. */
  readonly complain: (topic: ComplaintTopic, message: string) => void
}
