/**
 * Whether an `Accept-Encoding` line allows gzip (RFC 9110, section 12.5.3): named, or covered by `*`, with a weight
 * that is not zero. A name counts more than `*`.
 */
export const acceptsGzip = (line: string | undefined): boolean => {
  if (line === undefined) return false
  let any = false
  for (const item of line.split(",")) {
    const [name = "", ...parameters] = item.split(";")
    const coding = name.trim().toLowerCase()
    if (coding !== "gzip" && coding !== "x-gzip" && coding !== "*") continue
    const refused = parameters.some((parameter) => /^\s*q\s*=\s*0(?:\.0*)?\s*$/i.test(parameter))
    if (coding !== "*") return !refused
    any = !refused
  }
  return any
}
