import type { JournalReader } from "./JournalReader.ts"
import type { PollResult } from "./PollResult.ts"

/** Reads all that is there now; gives why there is no more. */
export const readToEnd = async (reader: JournalReader): Promise<Exclude<PollResult, "progress">> => {
  for (;;) {
    const result = await reader.poll()
    if (result !== "progress") return result
  }
}
