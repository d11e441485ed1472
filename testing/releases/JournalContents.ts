import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { frameHeaderBytes, scanFrame } from "../../src/storage/disk/Frame.ts"
import { decodeNotice, recordKind } from "../../src/storage/records/Records.ts"
import { lastPart } from "../../src/storage/records/TransactionPart.ts"

/** How many records of each kind stand in all segments of a journal. */
export const journalContents = (journal: string): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  const count = (name: string) => (counts[name] = (counts[name] ?? 0) + 1)
  for (const name of readdirSync(journal).toSorted()) {
    const bytes = readFileSync(path.join(journal, name))
    let isPartOpen = false
    for (let at = 0; ;) {
      const frame = scanFrame(bytes, at, bytes.length)
      if (frame._tag !== "Frame") {
        if (at < bytes.length) count("torn record")
        break
      }
      const payload = bytes.subarray(at + frameHeaderBytes, frame.end)
      if (frame.kind === recordKind.notice) count(decodeNotice(payload).t)
      else if (frame.kind === recordKind.inlineChunk) count("inlineChunk")
      else if (frame.kind === recordKind.transaction) {
        const isLast = (payload[20] ?? 0) === lastPart
        count(isLast ? (isPartOpen ? "last part" : "transaction") : "part")
        isPartOpen = !isLast
      } else count(`kind ${frame.kind}`)
      at = frame.end
    }
    if (isPartOpen) count("part without an end")
  }
  return counts
}
