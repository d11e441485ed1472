import type { Tracer } from "effect"
import { redact } from "../../config/Redaction.ts"

/** The same span, which is told of when it ends. */
export const printedSpan = (span: Tracer.Span, print: (line: string) => void): Tracer.Span => {
  const end = span.end.bind(span)
  return Object.assign(span, {
    end: (endTime: bigint, exit: Parameters<Tracer.Span["end"]>[1]) => {
      const millis = Number(endTime - span.status.startTime) / 1e6
      end(endTime, exit)
      const attributes = Array.from(span.attributes, ([name, value]) => `${name}=${redact(String(value))}`)
      print(`Span ${span.name} of ${span.traceId}: ${millis.toFixed(3)} ms, ${attributes.join(" ")}`)
    }
  })
}
