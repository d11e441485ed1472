/**
 * How it stands with the stream of this instance.
 *
 * `flowing`    what is written to the database comes through
 * `behind`     it comes through late, and there is progress: a large transaction, many changes at once
 * `silent`     it does not, and somebody may have to mend something
 * `unwatched`  nobody can tell, because no heartbeat is sent
 * `ended`      this instance has streamed, and does not at the moment
 */
export const streamStates = ["flowing", "behind", "silent", "unwatched", "ended"] as const

type StreamState = (typeof streamStates)[number]

/** What `StreamStatus` knows, for those who are told of it. */
export interface StreamReport {
  readonly state: StreamState
  /** Since 1970. */
  readonly sinceMillis: number
  /** Why it is not `flowing`: one word, and what an operator is told. */
  readonly cause?: string
  readonly message?: string
  /** From the moment at which the last heartbeat was sent to the one at which it had come through the slot. */
  readonly roundTripMillis?: number
  /** When the last one was sent that has come through: everything that was written before has, too. Since 1970. */
  readonly provenMillis?: number
}

/** What is known of the way from the database to this process: it is kept by the watch over the stream. */
export class StreamStatus {
  /** Undefined where this process has not streamed yet. */
  report: StreamReport | undefined

  /** Another state, or another reason for it. `nowMillis`: since 1970. */
  set(
    state: StreamState,
    nowMillis: number,
    why?: { readonly cause: string; readonly message: string }
  ): void {
    const { cause: _, message: __, ...known } = this.report ?? { state, sinceMillis: nowMillis }
    const sinceMillis = known.state === state ? known.sinceMillis : nowMillis
    this.report = { ...known, state, sinceMillis, ...why }
  }

  /** A heartbeat has come through. */
  proven(sentMillis: number, roundTripMillis: number): void {
    if (this.report === undefined) return
    this.report = { ...this.report, provenMillis: sentMillis, roundTripMillis }
  }
}

/** What is told of the stream to whoever asks for it: no names, and no words of the database, which are in the log. */
export const describeStream = ({
  cause,
  provenMillis,
  roundTripMillis,
  sinceMillis,
  state
}: StreamReport) => ({
  status: state,
  since: new Date(sinceMillis).toISOString(),
  ...(cause === undefined ? {} : { cause }),
  ...(provenMillis === undefined ? {} : { upTo: new Date(provenMillis).toISOString() }),
  ...(roundTripMillis === undefined ? {} : { roundTripMillis: Math.round(roundTripMillis) })
})
