import { readFileSync } from "node:fs"

/** The release of the API whose behaviour this one keeps; clients and tools may look at it. */
const compatibleVersion = "1.7.12"

const ownVersion = (): string => {
  try {
    const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8")
    const manifest: { readonly version?: unknown } = JSON.parse(text)
    return typeof manifest.version === "string" ? manifest.version : "unknown"
  } catch {
    return "unknown" // bundled into somebody's application, without our manifest beside it
  }
}

export const batonVersion = ownVersion()

/** The `electric-server` header. */
export const serverIdentity = `ElectricSQL/${compatibleVersion} Baton/${batonVersion}`
