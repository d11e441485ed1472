import { type Row, Shape, ShapeStream, type ShapeStreamInterface } from "@electric-sql/client"
import { Agent, setGlobalDispatcher } from "undici"
import { Ledger, type LogMessage } from "./Ledger.ts"
import { type RefusedAnswer, refusedAnswer } from "./RefusedAnswer.ts"
import type { TextRow } from "../postgres/Rows.ts"

// Node 24 comes with a version (7.29) that ends the process when a connection ends behind a body that was not read to
// its end yet, as is common where services are killed: https://github.com/nodejs/undici/issues/5360.
setGlobalDispatcher(new Agent())

export interface RecordingOptions {
  /** Of the service, without a path. */
  readonly url: string
  readonly params: Readonly<Record<string, string>>
  readonly versionColumn?: string
  /** See `Ledger`. */
  readonly mayBeFolded?: boolean
  /** The client's own parsing of numbers, arrays and so on; otherwise values stay text. */
  readonly parses?: boolean
  /** First pause of the client after a failed request; its own default is a second. */
  readonly retryMillis?: number
}

/** The official client as an application uses it, with everything that it is told written down. */
export interface RecordingClient {
  readonly stream: ShapeStream<Row>
  readonly shape: Shape<Row>
  readonly ledger: Ledger
  /** The rows of the client's `Shape`. */
  readonly rows: () => ReadonlyArray<TextRow>
  /** Answers that were not 2xx; 409 among them. */
  readonly failures: ReadonlyArray<RefusedAnswer & { readonly url: string }>
  readonly conflicts: () => number
  /** Requests that ended without an answer, or within it, and were made again. */
  readonly cutConnections: () => number
  /** Errors that ended the stream. There must be none. */
  readonly errors: ReadonlyArray<unknown>
  /** Milliseconds since the last answer. */
  readonly silentMillis: () => number
  /** The longest time without news of any change since `resetSilence`, the present one included. */
  readonly longestSilenceMillis: () => number
  readonly resetSilence: () => void
  readonly stop: () => void
}

export const startClient = (options: RecordingOptions): RecordingClient => {
  const aborted = new AbortController()
  const failures: Array<RefusedAnswer & { readonly url: string }> = []
  const errors: Array<unknown> = []
  let cut = 0
  let lastAnswer = performance.now()

  const recordingFetch: typeof fetch = async (input, init) => {
    let response: Response
    try {
      response = await fetch(input, init)
    } catch (error) {
      if (!aborted.signal.aborted) cut++
      throw error
    }
    lastAnswer = performance.now()
    if (!response.ok) {
      const body = await response.text()
      failures.push({
        ...refusedAnswer(response, body),
        url: String(input instanceof Request ? input.url : input)
      })
      return new Response(body, { status: response.status, headers: response.headers })
    }
    if (options.parses === true) return response
    // Without column types the client leaves every value as the text that it received. The response is not copied: the
    // body of a copy is cancelled when the original is collected as garbage.
    if (response.headers.has("electric-schema")) {
      const headers = new Headers(response.headers)
      headers.set("electric-schema", "{}")
      Object.defineProperty(response, "headers", { value: headers })
    }
    return response
  }

  const retryMillis = options.retryMillis ?? 1000
  const stream = new ShapeStream<Row>({
    url: `${options.url}/v1/shape`,
    // The library's type forbids some names by an index signature, which no record of strings satisfies.
    params: { ...options.params } as { readonly [name: string]: never },
    signal: aborted.signal,
    fetchClient: recordingFetch,
    backoffOptions: { initialDelay: retryMillis, maxDelay: 32 * retryMillis, multiplier: 2 },
    onError: (error) => {
      // The client itself tries again when a connection is cut before the answer begins, but asks when it is cut within.
      if (error.message === "terminated") {
        cut++
        return {}
      }
      errors.push(error)
      return undefined
    }
  })
  const ledger = new Ledger(options.versionColumn, options.mayBeFolded)
  let lastNews = performance.now()
  let longestSilence = 0
  stream.subscribe(
    (messages) => {
      const now = performance.now()
      longestSilence = Math.max(longestSilence, now - lastNews)
      lastNews = now
      for (const message of messages as unknown as ReadonlyArray<LogMessage>) ledger.apply(message)
    },
    (error) => errors.push(error)
  )
  // The library was compiled without `exactOptionalPropertyTypes`.
  const shape = new Shape<Row>(stream as unknown as ShapeStreamInterface<Row>)
  return {
    stream,
    shape,
    ledger,
    rows: () => shape.currentRows as unknown as ReadonlyArray<TextRow>,
    failures,
    conflicts: () => failures.filter(({ status }) => status === 409).length,
    cutConnections: () => cut,
    errors,
    silentMillis: () => performance.now() - lastAnswer,
    longestSilenceMillis: () => Math.max(longestSilence, performance.now() - lastNews),
    resetSilence: () => {
      longestSilence = 0
      lastNews = performance.now()
    },
    stop: () => aborted.abort()
  }
}
