import { Data } from "effect"

/** Why a chain cannot be read on. */
type ChainBreak =
  /** Its bytes are not those that were written. */
  | "damaged"
  /** It is no object of a chain at all. */
  | "foreign"
  /** It belongs to another stream of changes. */
  | "otherStream"
  /** It does not follow on the object before it. */
  | "gap"
  /** It was collected, and later ones are there. */
  | "collected"
  /** A newer release has written it, in a form that this one does not know. */
  | "newerFormat"

const passed =
  "this instance begins anew with the newest checkpoint of the bucket, if that was made behind it; otherwise"

/** Whether a checkpoint that was made behind it leads past it, and what an operator can do. */
const meanings: Readonly<Record<ChainBreak, { readonly heals: boolean; readonly advice: string }>> = {
  damaged: {
    heals: true,
    advice:
      `${passed} bring the object back from a version or copy that the store has kept, or give BATON_BUCKET another prefix: ` +
      "every client fetches its shapes once more then"
  },
  foreign: {
    heals: true,
    advice: `${passed} give BATON_BUCKET a prefix that nothing else writes to`
  },
  otherStream: {
    heals: false,
    advice:
      "the bucket was emptied and begun anew, or belongs to another service; give each service a prefix of its own in " +
      "BATON_BUCKET, and start this instance again"
  },
  gap: {
    heals: true,
    advice:
      `${passed} something else than Baton has removed or replaced objects: take lifecycle rules off this prefix, and give ` +
      "BATON_BUCKET another one if this comes again; every client fetches its shapes once more then"
  },
  collected: {
    heals: true,
    advice:
      `${passed} something else than Baton has removed it: take lifecycle rules off this prefix, and give BATON_BUCKET another ` +
      "one if this comes again; every client fetches its shapes once more then"
  },
  newerFormat: {
    heals: false,
    advice: "start the release that has written it, or a newer one, here as well; nothing was changed"
  }
}

/**
 * An object of the chain is not what has to stand there, and asking once more gives the same. If it `heals`, beginning anew with a
 * checkpoint that was made behind it leads past it: one whose place is above that of the chain, which stays before the object.
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
