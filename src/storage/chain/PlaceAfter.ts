import type { JournalEnd } from "../records/Records.ts"
import type { ChainContent, ChainLink, ChainObject, ChainPlace } from "./ChainObject.ts"

/** Before the first object of a chain. */
export const chainStart: ChainPlace = {
  next: 0,
  crc: 0,
  stream: undefined,
  opening: undefined,
  end: { epoch: 0, segment: 0, position: 0 },
  fences: []
}

/** Up to where the journal of the newest epoch is in the chain, after an object that says this. */
const endAfter = (end: JournalEnd, content: ChainContent): JournalEnd => {
  if (content.opens !== undefined) return { epoch: content.opens.epoch, segment: 0, position: 0 }
  const last = content.ranges.at(-1)
  if (last === undefined) return end
  return { epoch: last.epoch, segment: last.segment, position: last.position + last.bytes.length }
}

/** What is known of the chain after the object that follows on `place`. The ranges of an opening are those of its predecessor. */
export const placeAfter = (place: ChainPlace, object: ChainObject): ChainPlace => ({
  next: object.n + 1,
  crc: object.crc,
  stream: object.stream,
  opening: object.opens ?? place.opening,
  end: endAfter(place.end, object),
  fences: object.isFence === true ? [...place.fences, object.n] : place.fences
})

/** An object that a writer has created, of which everything else that it holds has been received by another way. */
export interface ToldLink extends ChainLink {
  /** Up to where the journal of its epoch is in the chain with it. */
  readonly end: JournalEnd
}

/** As `placeAfter`, of what the writer says of an object: one that is no opening, and no fence. */
export const placeAfterTold = (place: ChainPlace, link: ToldLink): ChainPlace => ({
  ...place,
  next: link.n + 1,
  crc: link.crc,
  end: link.end
})

/** What is wrong with an object that was found where the one after `place` has to stand; `undefined` when nothing is. */
export const misfit = (
  place: ChainPlace,
  object: Pick<ChainObject, "n" | "stream" | "previousCrc">
): { readonly reason: "otherStream" | "gap"; readonly said: string } | undefined => {
  if (place.stream !== undefined && object.stream !== place.stream)
    return {
      reason: "otherStream",
      said: `belongs to the stream ${object.stream}, and those before it to ${place.stream}`
    }
  if (object.n !== place.next)
    return {
      reason: "gap",
      said: `says that it is number ${object.n}, and number ${place.next} has to stand there`
    }
  if (object.previousCrc !== place.crc)
    return {
      reason: "gap",
      said: "was written behind another object than the one that is known to stand before it"
    }
  return undefined
}
