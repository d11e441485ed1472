import type { BucketFaultKind } from "./BucketFault.ts"

/** What a connection fails with, where its words do not say it. */
const explained: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "the connection was cut",
  EAI_AGAIN: "the name of the host cannot be looked up at present",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that network",
  ENOTFOUND: "there is no host of that name",
  EPIPE: "the connection was cut",
  EPROTO: "no TLS is spoken there, or not this one",
  ETIMEDOUT: "no connection could be made in time"
}

interface Coded {
  readonly code?: unknown
  readonly message?: unknown
  readonly cause?: unknown
  readonly errors?: ReadonlyArray<unknown>
}

/** The first cause with a code, of an error that wraps others: one attempt for each address of a host, for one. */
const codedOf = (error: unknown, depth = 0): Coded | undefined => {
  if (typeof error !== "object" || error === null || depth > 5) return undefined
  const { cause, code, errors } = error as Coded
  for (const inner of [cause, ...(errors ?? [])]) {
    const found = codedOf(inner, depth + 1)
    if (found !== undefined) return found
  }
  return typeof code === "string" ? (error as Coded) : undefined
}

const innermostOf = (error: unknown): Coded => {
  const { cause } = error as Coded
  return typeof cause === "object" && cause !== null ? innermostOf(cause) : (error as Coded)
}

/** Kind and words of what a request has failed with before there was a whole answer. */
export const networkFault = (error: unknown): { readonly kind: BucketFaultKind; readonly said: string } => {
  const coded = codedOf(error)
  const code = String(coded?.code ?? "")
  const message = (coded ?? innermostOf(error)).message ?? String(error)
  const said = [code, explained[code] ?? String(message)].filter((part) => part !== "").join(", ")
  return { kind: code === "ETIMEDOUT" ? "timedOut" : "unreachable", said }
}
