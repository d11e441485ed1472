import type { TailRefusal, TailRequest, TailSource } from "../../storage/tail/TailSource.ts"
import { type TailSink, TailStream } from "../../storage/tail/TailStream.ts"
import type { makeSecretCheck } from "../request/Secret.ts"

/** Why a mirror is not sent the journal. */
export interface Refused {
  readonly status: 400 | 401 | 404 | 409 | 503
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly reason: string; readonly message: string; readonly epoch?: number }
}

const refused = (status: Refused["status"], reason: string, message: string, epoch?: number): Refused => ({
  status,
  headers: status === 503 ? { "retry-after": "1" } : status === 401 ? { "www-authenticate": "Bearer" } : {},
  body: { reason, message, ...(epoch === undefined ? {} : { epoch }) }
})

const noSecret = refused(
  404,
  "noSecret",
  "This instance shows its journal to nobody: no secret is configured for that"
)
const wrongSecret = refused(401, "wrongSecret", "The secret is missing or wrong")
const unreadable = refused(400, "malformed", "epoch, segment and position must be whole numbers")
const notWriter = refused(503, "notWriter", "This instance does not write the journal now")

const ofSource = (refusal: TailRefusal): Refused => {
  switch (refusal.reason) {
    case "notWriter":
      return notWriter
    case "otherEpoch":
      return refused(409, refusal.reason, `This instance writes epoch ${refusal.epoch}`, refusal.epoch)
    case "gone":
      return refused(409, refusal.reason, "That segment was removed, or is of another epoch", refusal.epoch)
    case "ahead":
      return refused(409, refusal.reason, "This instance has not written that much", refusal.epoch)
  }
}

const wholeNumber = (text: string | null): number | undefined => {
  if (text === null || !/^\d{1,16}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** From where a mirror asks for the journal; `undefined` if the query does not say it. */
const placeOf = (query: string): TailRequest | undefined => {
  const values = new URLSearchParams(query)
  const epoch = wholeNumber(values.get("epoch"))
  const segment = wholeNumber(values.get("segment"))
  const position = wholeNumber(values.get("position"))
  return epoch === undefined || segment === undefined || position === undefined
    ? undefined
    : { epoch, segment, position }
}

/**
 * What a mirror is answered: the stream that sends it the journal, or why not. The secret is a bearer token, which stands in no
 * log of requests; nothing is said to those who do not know it.
 */
export const answerTail = (
  source: TailSource,
  isSecret: ReturnType<typeof makeSecretCheck> | undefined,
  request: { readonly query: string; readonly authorization: string | undefined },
  sink: () => TailSink
): TailStream | Refused => {
  if (isSecret === undefined) return noSecret
  const token = /^bearer +(.*)$/i.exec(request.authorization ?? "")?.[1]
  if (!isSecret({ secret: token })) return wrongSecret
  const place = placeOf(request.query)
  if (place === undefined) return unreadable
  const opened = source.open(place, sink)
  return opened instanceof TailStream ? opened : ofSource(opened)
}
