import { Data } from "effect"

/** Why a chain cannot be read on. */
export type ChainBreak =
  /** Its bytes are not those that were written. */
  | "damaged"
  /** It is no object of a chain at all. */
  | "foreign"
  /** It belongs to another stream of changes. */
  | "otherStream"
  /** It does not follow on the object before it. */
  | "gap"
  /** It was collected, and later ones are there: a newer checkpoint has to be begun with. */
  | "collected"
  /** A newer release has written it, in a form that this one does not know. */
  | "newerFormat"

/** Whether beginning anew, with the newest checkpoint of the bucket, helps; and what an operator can do. */
const meanings: Readonly<Record<ChainBreak, { readonly heals: boolean; readonly advice: string }>> = {
  damaged: {
    heals: false,
    advice:
      "nothing behind it can be read; bring it back from a version or copy that the store has kept, or give BATON_BUCKET " +
      "another prefix: every client fetches its shapes once more then"
  },
  foreign: {
    heals: false,
    advice: "give BATON_BUCKET a prefix that nothing else writes to"
  },
  otherStream: {
    heals: false,
    advice:
      "the bucket was emptied and begun anew, or belongs to another service; give each service a prefix of its own in " +
      "BATON_BUCKET, and start this instance again"
  },
  gap: {
    heals: false,
    advice:
      "objects were removed or replaced by something else than Baton; take lifecycle rules off this prefix, and start this " +
      "instance again: it begins with the newest checkpoint"
  },
  collected: { heals: true, advice: "this instance begins anew, with the newest checkpoint" },
  newerFormat: {
    heals: false,
    advice: "start this release, or a newer one, here as well; nothing was changed"
  }
}

/**
 * An object of the chain is not what has to stand there. Asking once more gives the same; `heals` tells whether beginning anew,
 * with the newest checkpoint, does not.
 */
export class ChainBroken extends Data.TaggedError("ChainBroken")<{
  readonly reason: ChainBreak
  /** The key, with the name of the bucket before it where that is known. */
  readonly object: string
  /** What is wrong with it, as the end of a sentence that begins with its name. */
  readonly said: string
}> {
  get heals(): boolean {
    return meanings[this.reason].heals
  }

  override get message(): string {
    return `${this.object} ${this.said} (${meanings[this.reason].advice})`
  }

  override toString(): string {
    return this.message
  }
}
