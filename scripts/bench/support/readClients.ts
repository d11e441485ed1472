import { connect } from "node:net"

/**
 * Clients that each send the same request again as soon as it is answered, as a process of its own. They look at no more
 * of an answer than where it ends, so that the server is what is measured.
 */
export interface ReadCommand {
  readonly port: number
  readonly path: string
  readonly connections: number
  readonly millis: number
}
export interface ReadAnswer {
  readonly replies: number
  /** Replies that were not those expected, and lost connections. */
  readonly wrong: number
  /** How the first of them began. */
  readonly wrongHead: string | undefined
  readonly millis: number
}

const lastChunk = Buffer.from("0\r\n\r\n")

const run = (command: ReadCommand): Promise<ReadAnswer> =>
  new Promise((resolve) => {
    const request = Buffer.from(`GET ${command.path} HTTP/1.1\r\nhost: 127.0.0.1:${command.port}\r\n\r\n`)
    const began = performance.now()
    let replies = 0
    let wrong = 0
    let wrongHead: string | undefined
    let open = command.connections
    const over = () => performance.now() - began >= command.millis
    const closed = () => {
      if (--open === 0) resolve({ replies, wrong, wrongHead, millis: performance.now() - began })
    }
    for (let i = 0; i < command.connections; i++) {
      const socket = connect({ port: command.port, host: "127.0.0.1", noDelay: true })
      /** Bytes of the present reply that are still to come; -1 in front of one, and infinitely many where it says when it ends. */
      let left = -1
      socket.on("connect", () => socket.write(request))
      socket.on("data", (data) => {
        if (left < 0) {
          const head = data.toString("latin1", 0, Math.min(data.length, 2048))
          const length = /content-length: (\d+)/i.exec(head)
          const end = head.indexOf("\r\n\r\n")
          const isChunked = /transfer-encoding: chunked/i.test(head)
          if (!head.startsWith("HTTP/1.1 200") || (length === null && !isChunked) || end < 0) {
            wrong++
            wrongHead ??= head.slice(0, 500)
            socket.destroy()
            return
          }
          left = length === null ? Infinity : Number(length[1]) + end + 4
        }
        // Nothing that is read here ends like that before its end.
        left = left === Infinity && data.subarray(-5).equals(lastChunk) ? 0 : left - data.length
        if (left > 0) return
        left = -1
        replies++
        if (over()) socket.destroy()
        else socket.write(request)
      })
      socket.on("error", (error) => {
        wrong++
        wrongHead ??= String(error)
      })
      socket.on("close", closed)
    }
  })

process.on("message", (command: ReadCommand) => void run(command).then((answer) => process.send?.(answer)))
process.send?.({ port: 0 })
