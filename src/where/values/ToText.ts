import { codecOf } from "./Codecs.ts"
import { printHost, type Inet } from "./Inet.ts"
import { trimBlanks } from "./Text.ts"
import { isForeign, type TypeSpec } from "./TypeSpec.ts"

/** The text that a cast to `text` gives, which is not always what the output function prints. */
export const toText = (spec: TypeSpec): ((value: unknown) => string) | undefined => {
  if (isForeign(spec)) return undefined
  if (spec === "bool") return (value) => (value === true ? "true" : "false")
  if (spec === "bpchar") return (value) => trimBlanks(String(value))
  if (spec === "inet" || spec === "cidr") {
    return (value) => `${printHost(value as Inet)}/${(value as Inet).bits}`
  }
  return codecOf(spec, "c").write
}
