import { assert, describe, it } from "@effect/vitest"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { Transport } from "../../src/postgres/connection/Transport.ts"
import { makeRandom } from "../../testing/Random.ts"

const serving = async (serve: (socket: Socket) => void) => {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { server, port: (server.address() as AddressInfo).port }
}

const transportTo = (port: number, sslMode: "disable" | "prefer", readBufferBytes: number | undefined) =>
  new Transport({
    host: "127.0.0.1",
    port,
    sslMode,
    caCertificateFile: undefined,
    preferIpv6: false,
    keepAliveIdleMillis: 30_000,
    readBufferBytes
  })

describe("a connection that is read in place", () => {
  it.each(["disable", "prefer"] as const)(
    "gives every byte once and in order, and nothing while it is paused (%s)",
    { timeout: 60_000 },
    async (sslMode) => {
      const seed = Math.floor(Math.random() * 2 ** 31)
      const random = makeRandom(seed)
      const sent = Buffer.from(Array.from({ length: 300_000 }, () => random.int(0, 255)))
      const { server, port } = await serving((socket) => {
        const send = async () => {
          for (let at = 0; at < sent.length;) {
            const bytes = 1 + random.int(0, 19999)
            socket.write(sent.subarray(at, at + bytes))
            at += bytes
            if (random.int(0, 1) === 0) await new Promise((resolve) => setImmediate(resolve))
          }
          socket.end()
        }
        if (sslMode === "disable") void send()
        else
          socket.once("data", () => {
            socket.write("N")
            socket.once("data", () => void send())
          })
      })
      const transport = transportTo(port, sslMode, 1000)
      const received: Array<Buffer> = []
      let isPaused = false
      // As the login does before the stream begins: by events.
      const byEvents = (chunk: Buffer) => void received.push(Buffer.from(chunk))
      transport.on("data", byEvents)
      const ended = new Promise((resolve) => transport.once("close", resolve))
      await new Promise((resolve) => transport.once("connect", resolve))
      if (sslMode === "prefer") transport.write("x")
      const took = transport.readInPlace((piece) => {
        assert.isFalse(isPaused, `seed ${seed}`)
        assert.isAtMost(piece.length, 1000)
        received.push(Buffer.from(piece))
        if (random.int(0, 3) > 0) return
        isPaused = true
        transport.pause()
        const goOn = () => {
          isPaused = false
          transport.resume()
          // Once more in the same turn: what was begun must not read on.
          if (random.int(0, 2) > 0 || isPaused) return
          isPaused = true
          transport.pause()
          setImmediate(goOn)
        }
        setImmediate(goOn)
      })
      assert.isTrue(took)
      await ended
      assert.isTrue(Buffer.concat(received).equals(sent), `seed ${seed}`)
      server.close()
    }
  )

  it("is not there without room for it", async () => {
    const { server, port } = await serving((socket) => void socket.end("what follows"))
    const transport = transportTo(port, "disable", undefined)
    const text = new Promise((resolve) =>
      transport.once("data", (chunk: Buffer) => resolve(chunk.toString()))
    )
    await new Promise((resolve) => transport.once("connect", resolve))
    assert.isFalse(transport.readInPlace(() => assert.fail("a piece came")))
    assert.strictEqual(await text, "what follows")
    transport.destroy()
    server.close()
  })
})
