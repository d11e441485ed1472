import { createServer } from "node:http"
import { createServer as createPlain, type Socket } from "node:net"

/**
 * A floor: Node's bare HTTP server that holds every request until its parent says what to reply, and then gives all of
 * them the same bytes. With the argument `sockets` there is no HTTP in it: whatever arrives is a request.
 */
export interface Release {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

type Answer = (head: Readonly<Record<string, string>>, body: Buffer) => void

const held: Array<Answer> = []
const withoutHttp = process.argv[2] === "sockets"

function hold(this: Socket): void {
  held.push((headers, body) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    this.write(`HTTP/1.1 200 OK\r\n${lines.join("")}content-length: ${body.length}\r\n\r\n${body.toString()}`)
  })
}
const forget = (): void => {}

const server = withoutHttp
  ? createPlain({ noDelay: true }, (socket) => {
      socket.on("data", hold).on("error", forget)
    })
  : createServer({ keepAliveTimeout: 60_000, noDelay: true }, (_, response) => {
      held.push((headers, body) => {
        response.writeHead(200, { ...headers, "content-length": body.length })
        response.end(body)
      })
    })
process.on("message", (release: Release) => {
  const body = Buffer.from(release.body)
  for (const answer of held.splice(0)) answer(release.headers, body)
})
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.send?.({ port: address.port })
})
