import { createServer, type ServerResponse } from "node:http"

/**
 * A floor: Node's bare HTTP server that holds every request until its parent says what to reply, and then gives all of
 * them the same bytes.
 */
export interface Release {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const held: Array<ServerResponse> = []
const server = createServer({ keepAliveTimeout: 60_000, noDelay: true }, (_, response) => {
  held.push(response)
})
process.on("message", (release: Release) => {
  const body = Buffer.from(release.body)
  for (const response of held.splice(0)) {
    response.writeHead(200, { ...release.headers, "content-length": body.length })
    response.end(body)
  }
})
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.send?.({ port: address.port })
})
