import { hash } from "node:crypto"
import { readFileSync } from "node:fs"
import { gzipSync } from "node:zlib"

/** A file of the page, as it is sent. */
interface Asset {
  readonly type: string
  readonly bytes: Buffer
  readonly gzip: Buffer
  readonly etag: string
}

/** All that there are: no path of a request is ever looked for on the disk. */
const names = [
  "index.html",
  "style.css",
  "app.js",
  "api.js",
  "dom.js",
  "plots.js",
  "overview.js",
  "shapes.js",
  "shape.js",
  "faults.js",
  "config.js"
] as const

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8"
}

const known = new Map<string, Asset>()

/** The files stand in the package beside what is compiled, as `package.json` does. */
const directory = new URL("../../dashboard/", import.meta.url)

/**
 * A file of the page, `index.html` by the empty name; undefined where there is none of that name. Read when it is first asked for.
 * Throws where the package lacks it: bundled into somebody's application, say.
 */
export const pageAsset = (name: string): Asset | undefined => {
  const file = name === "" ? "index.html" : name
  if (!names.some((one) => one === file)) return undefined
  let asset = known.get(file)
  if (asset === undefined) {
    const bytes = readFileSync(new URL(file, directory))
    const type = types[file.slice(file.lastIndexOf(".") + 1)] ?? "application/octet-stream"
    asset = {
      type,
      bytes,
      gzip: gzipSync(bytes, { level: 9 }),
      etag: `"${hash("sha256", bytes, "base64url").slice(0, 16)}"`
    }
    known.set(file, asset)
  }
  return asset
}
