import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { complaintCodes, type ComplaintTopic } from "./ComplaintTopics.ts"
import type { Timers } from "../shared/Timers.ts"
import { complaintMillis } from "./StorageTimings.ts"

/**
 * Says trouble that comes again and again: at once when it begins, then from time to time with the number of times that it
 * has come since. A disk that is full for an hour must not fill the log, too.
 */
export class Complaints {
  private readonly topics = new Map<string, { saidAtMillis: number; unsaid: number }>()
  private readonly timers: Pick<Timers, "nowMillis">
  private readonly say: (message: string, code: FaultCode, times: number) => void

  constructor(
    timers: Pick<Timers, "nowMillis">,
    say: (message: string, code: FaultCode, times: number) => void
  ) {
    this.timers = timers
    this.say = say
  }

  /** `topic` is what the trouble is with, without what differs from one time to the next; `which` tells several of one topic apart. */
  about(topic: ComplaintTopic, message: string, which = ""): void {
    const key = `${topic} ${which}`
    const nowMillis = this.timers.nowMillis()
    const known = this.topics.get(key)
    if (known !== undefined && nowMillis - known.saidAtMillis < complaintMillis) {
      known.unsaid++
      return
    }
    const unsaid = known?.unsaid ?? 0
    this.say(
      unsaid === 0 ? message : `${message} (and ${unsaid} times more since this was last said)`,
      complaintCodes[topic],
      unsaid + 1
    )
    this.topics.set(key, { saidAtMillis: nowMillis, unsaid: 0 })
  }
}
