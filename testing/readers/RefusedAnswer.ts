import { refusals } from "../../src/health/Refusal.ts"

/** An answer that is neither rows nor "nothing new", as a client saw it. */
export interface RefusedAnswer {
  readonly status: number
  readonly body: string
  /** The header, as it came. */
  readonly retryAfter: string | null
  /** The release that has answered, as it names itself. */
  readonly server: string | null
}

type Judged = Omit<RefusedAnswer, "server">

export const refusedAnswer = (response: Response, body: string): RefusedAnswer => ({
  status: response.status,
  body,
  retryAfter: response.headers.get("retry-after"),
  server: response.headers.get("electric-server")
})

const { message, retryAfterSeconds } = refusals.starting

/**
 * Whether it is the 503 of an instance that has not read its storage yet. Only such an instance says so, in these words in every
 * release and with the time after which to ask again; one that waits, takes over, is active or stops says something else.
 */
export const isOfStartingInstance = ({ body, retryAfter, status }: Judged): boolean =>
  status === 503 && retryAfter === String(retryAfterSeconds) && body === JSON.stringify({ message })

/**
 * Whether it is the 503 of an instance that has waited for seconds to hear of what its client knows already, in vain: one that was
 * frozen, or cut off from the bucket and the active instance at once. Clients come back a second later.
 */
export const isOfInstanceBehind = ({ body, status }: Judged): boolean =>
  status === 503 && body === JSON.stringify({ message: refusals.behind.message })
