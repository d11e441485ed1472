import { createReadStream, statSync } from "node:fs"
import { createServer } from "node:http"
import * as path from "node:path"
import { pipeline } from "node:stream"

/**
 * A floor: Node's bare HTTP server with the files of a directory, as a process of its own. Run with the directory as its
 * argument; tells its parent the port.
 */
const directory = process.argv[2] ?? "."
const server = createServer({ keepAliveTimeout: 60_000, noDelay: true }, (request, response) => {
  const file = path.join(directory, path.basename(request.url ?? ""))
  const size = statSync(file, { throwIfNoEntry: false })?.size
  if (size === undefined) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, { "content-type": "application/json; charset=utf-8", "content-length": size })
  pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), response, () => {})
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.send?.({ port: address.port })
})
