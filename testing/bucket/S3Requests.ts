import type { IncomingMessage, ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import type { BucketFaultKind, BucketOperation } from "../../src/bucket/BucketFault.ts"
import type { BucketFaults } from "./BucketFaults.ts"
import type { SignatureProblem } from "./CheckSignature.ts"

/** What S3 answers for a kind of fault. */
const refusals: Readonly<Record<BucketFaultKind, SignatureProblem | undefined>> = {
  unreachable: undefined,
  timedOut: { status: 400, code: "RequestTimeout", message: "Your socket connection was idle." },
  throttled: { status: 503, code: "SlowDown", message: "Please reduce your request rate." },
  failing: { status: 500, code: "InternalError", message: "We encountered an internal error." },
  wrongKey: { status: 403, code: "InvalidAccessKeyId", message: "The key does not exist in our records." },
  wrongRegion: { status: 301, code: "PermanentRedirect", message: "Use another endpoint." },
  clockSkew: { status: 403, code: "RequestTimeTooSkewed", message: "The difference is too large." },
  noBucket: { status: 404, code: "NoSuchBucket", message: "The specified bucket does not exist." },
  denied: { status: 403, code: "AccessDenied", message: "Access Denied." },
  unsafe: {
    status: 501,
    code: "NotImplemented",
    message: "A header you provided implies functionality that is not implemented."
  },
  refused: { status: 400, code: "InvalidRequest", message: "Invalid Request." }
}

const conditionalConflict: SignatureProblem = {
  status: 409,
  code: "ConditionalRequestConflict",
  message: "A conflicting operation occurred."
}

export const xmlText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const operations: Readonly<Record<string, BucketOperation>> = { PUT: "create", GET: "read", DELETE: "remove" }

/** A request of the S3 API, with all that it carries. */
export interface S3Request {
  readonly message: IncomingMessage
  readonly url: URL
  readonly operation: BucketOperation
  readonly key: string
  readonly body: Buffer
  /** The access key that it is signed with. */
  readonly client: string
}

/** Writes an answer. */
export type Reply = (response: ServerResponse) => unknown

export const refuse =
  ({ code, message, status }: SignatureProblem): Reply =>
  (response) => {
    response.writeHead(status, { "content-type": "application/xml" })
    response.end(
      `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${xmlText(message)}</Message></Error>`
    )
  }

/** The whole of a request to a server that has one bucket of this name. */
export const readS3Request = async (message: IncomingMessage, bucket: string): Promise<S3Request> => {
  const pieces: Array<Buffer> = []
  for await (const piece of message) pieces.push(piece as Buffer)
  const url = new URL(message.url ?? "/", `http://${message.headers.host}`)
  const path = decodeURIComponent(url.pathname)
  const key = path.startsWith(`/${bucket}/`) ? path.slice(bucket.length + 2) : ""
  const isList = message.method === "GET" && url.searchParams.has("list-type")
  const operation = isList ? "list" : (operations[message.method ?? ""] ?? "probe")
  return {
    message,
    url,
    body: Buffer.concat(pieces),
    operation,
    key: isList ? (url.searchParams.get("prefix") ?? "") : key,
    client: /Credential=([^/]+)/.exec(message.headers.authorization ?? "")?.[1] ?? ""
  }
}

/**
 * Does what is asked and answers, or what a fault makes of it. `work` does it, and may be asked to do it later, or twice; "always" is a
 * create that does not ask whether there is an object.
 */
export const answerWithFaults = async (
  faults: BucketFaults,
  request: S3Request,
  response: ServerResponse,
  work: (condition: "ifAbsent" | "always") => Reply | Promise<Reply>
): Promise<void> => {
  const met = faults.meet(request)
  const cut = () => void response.destroy()
  const answer = async (condition: "ifAbsent" | "always" = "ifAbsent") =>
    void (await work(condition))(response)
  // Nobody is told what became of it.
  const doIt = () => Promise.resolve(work("ifAbsent")).catch(() => {})
  if (met === undefined) return answer()
  const { atEnd, fate, later } = met
  switch (fate._tag) {
    case "Delay":
      await sleep(fate.millis)
      return answer()
    case "Hang":
      return atEnd(cut)
    case "Refuse": {
      const refusal = refusals[fate.kind]
      return void (refusal === undefined ? cut() : refuse(refusal)(response))
    }
    case "Conflict":
      return void refuse(conditionalConflict)(response)
    case "Unanswered":
      await doIt()
      return cut()
    case "Late":
      later(() => void doIt())
      return cut()
    case "Doubled":
      later(() => void doIt())
      return answer()
    case "Unconditional":
      return answer("always")
  }
}
