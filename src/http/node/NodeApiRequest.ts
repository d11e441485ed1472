import type { ApiRequest } from "../request/ApiRequest.ts"
import type { NodeRequest } from "./Exchange.ts"
import { readNodeBody } from "./NodeBody.ts"

/** Bytes of a request line, and of one header line, that are accepted. */
const maxLineBytes = 10_000
const maxHeaders = 50

/** The status for a request that is over a limit of HTTP itself; `undefined` for nearly all. */
export const limitStatus = (request: NodeRequest): 414 | 431 | undefined => {
  const { url, method, rawHeaders } = request
  if (rawHeaders.length > maxHeaders * 2) return 431
  // HTTP/2 has no lines, and its own limit for all headers together.
  if (request.httpVersionMajor > 1) return undefined
  if ((url?.length ?? 0) + (method?.length ?? 0) + " HTTP/1.1 ".length > maxLineBytes) return 414
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const length = (rawHeaders[i]?.length ?? 0) + (rawHeaders[i + 1]?.length ?? 0) + 2
    if (length > maxLineBytes) return 431
  }
  return undefined
}

/** A request of Node as the API sees it. `given`: its body, if somebody has read that before. */
export class NodeApiRequest implements ApiRequest {
  private readonly source: NodeRequest
  private readonly given: unknown
  readonly method: string
  readonly target: string

  constructor(source: NodeRequest, target: string, given: unknown) {
    this.source = source
    this.given = given
    this.method = source.method ?? "GET"
    this.target = target
  }

  header(name: string): string | undefined {
    const value = this.source.headers[name]
    return typeof value === "string" ? value : value?.[0]
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = Object.create(null) as Record<string, string>
    for (const [name, value] of Object.entries(this.source.headers))
      if (value !== undefined && !name.startsWith(":"))
        headers[name] = typeof value === "string" ? value : value.join(", ")
    return headers
  }

  body(maxBytes: number, arrived?: (bytes: number) => void) {
    return readNodeBody(this.source, this.given, maxBytes, arrived)
  }
}
