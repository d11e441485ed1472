import { createHash } from "node:crypto"
import { createServer as createSocketServer } from "node:net"
import { Agent, createServer, get, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, Exit } from "effect"
import { afterEach, assert, describe, it } from "vitest"
import type { ApiReply, ReplyBody } from "../../src/http/reply/ApiReply.ts"
import { bufferSizes, PieceBuffers } from "../../src/http/node/PieceBuffers.ts"
import type { AnyRequest, AnyResponse } from "../../src/http/node/Exchange.ts"
import { sendReply } from "../../src/http/node/NodeReply.ts"
import { SimpleConnections } from "../../src/http/simple/SimpleConnections.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { ShapeReadError } from "../../src/storage/ShapeLogs.ts"
import { SlowReaders } from "../../src/telemetry/SlowReaders.ts"
import { eventually } from "../../testing/Eventually.ts"

/** Shared by all responses, as those of one handler share theirs. */
const shared = new PieceBuffers()

const stops: Array<() => void> = []
afterEach(() => {
  agent.destroy()
  for (const stop of stops.splice(0)) stop()
})

const listen = (handler: RequestListener): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer(handler)
    stops.push(() => {
      server.closeAllConnections()
      server.close()
    })
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })

/** Piece `i` of a body, different from every other. */
const fill = (buffer: Buffer, i: number): Buffer => buffer.fill(`${i} of ${buffer.length};`)

interface Source {
  body: Extract<ReplyBody, { _tag: "Stream" }>
  made: number
  closed: boolean
  /** Whether it was given a buffer, each time. */
  lent: Array<boolean>
}

const sourceOf = (count: number, pieceBytes: number, byteLength?: number, failsAt = Infinity): Source => {
  const source: Source = {
    made: 0,
    closed: false,
    lent: [],
    body: {
      _tag: "Stream",
      pieces: async function* (buffer) {
        source.lent.push(buffer !== undefined)
        try {
          for (let i = 0; i < count; i++) {
            if (i === failsAt) throw new ShapeReadError({ handle: "h", message: "damaged" })
            source.made++
            yield fill((buffer ?? Buffer.alloc(pieceBytes)).subarray(0, pieceBytes), i)
            buffer?.fill(0)
          }
        } finally {
          source.closed = true
        }
      },
      ...(byteLength === undefined ? {} : { byteLength })
    }
  }
  return source
}

const replyOf = (body: ReplyBody): ApiReply => ({ status: 200, headers: [], body, closeConnection: false })

const digestOf = (count: number, pieceBytes: number): string => {
  const hash = createHash("sha256")
  for (let i = 0; i < count; i++) hash.update(fill(Buffer.alloc(pieceBytes), i))
  return hash.digest("hex")
}

/** Keeps its connections: a request that says that it is the last one is no simple one. */
const agent = new Agent({ keepAlive: true })

/** Reads a body with pauses, or not at all. */
const fetchSlowly = (port: number): Promise<{ digest: string; length: string | undefined; whole: boolean }> =>
  new Promise((resolve, reject) => {
    const request = get({ port, host: "127.0.0.1", path: "/v1/shape?", agent }, (response) => {
      const hash = createHash("sha256")
      let pieces = 0
      response.on("data", (piece: Buffer) => {
        hash.update(piece)
        if (++pieces % 20 !== 0) return
        response.pause()
        setTimeout(() => response.resume(), 1)
      })
      const done = () =>
        resolve({
          digest: hash.digest("hex"),
          length: response.headers["content-length"],
          whole: response.complete
        })
      response.on("close", done)
      response.on("error", () => {})
    })
    request.on("error", reject)
  })

/** The server that nearly all requests come to. */
const listenSimply = (
  arrived: ConstructorParameters<typeof SimpleConnections>[0]["arrived"]
): Promise<number> =>
  new Promise((resolve) => {
    const connections = new SimpleConnections({
      timers: systemTimers,
      idleMillis: 10_000,
      pipelinedRequests: 1,
      arrived,
      giveAway: () => assert.fail("the request is not simple")
    })
    const server = createSocketServer((socket) => connections.take(socket))
    stops.push(() => server.close())
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })

const serve = async (source: Source, sendTimeoutMillis = 10_000, isSimple = false) => {
  const exits: Array<Exit.Exit<void>> = []
  const port = await (isSimple ? listenSimply : listen)((request: AnyRequest, response: AnyResponse) => {
    const fiber = Effect.runFork(
      sendReply(request, response, replyOf(source.body), {
        timeoutMillis: sendTimeoutMillis,
        buffers: shared,
        slow: new SlowReaders()
      })
    )
    const events = response as { on(event: "close", hear: () => void): unknown }
    events.on("close", () => fiber.interruptUnsafe())
    fiber.addObserver((exit) => exits.push(exit))
  })
  return { port, exits }
}

describe("a body that is read into a buffer again and again", () => {
  it("arrives as it was made, at slow clients too, with its length where that is known", async () => {
    const count = 40
    const size = 200_000
    for (const [byteLength, isSimple] of [
      [undefined, false],
      [count * size, false],
      [undefined, true],
      [count * size, true]
    ] as const) {
      const source = sourceOf(count, size, byteLength)
      const { port } = await serve(source, 10_000, isSimple)
      const all = await Promise.all(Array.from({ length: 5 }, () => fetchSlowly(port)))
      for (const one of all) {
        assert.strictEqual(one.digest, digestOf(count, size))
        assert.isTrue(one.whole)
        assert.strictEqual(one.length, byteLength === undefined ? undefined : String(byteLength))
      }
      assert.isTrue(source.lent.every((isLent) => isLent))
    }
  })

  it("waits for a client that does not read, until the send time-out cuts it off", async () => {
    for (const isSimple of [false, true]) {
      const source = sourceOf(1000, 200_000)
      const { port, exits } = await serve(source, 300, isSimple)
      const request = get({ port, host: "127.0.0.1", path: "/v1/shape?", agent }, (response) => {
        response.pause()
        response.on("error", () => {})
      })
      request.on("error", () => {})
      await eventually("the client is cut off", () => exits.length === 1)
      await eventually("the source is closed", () => source.closed)
      assert.isBelow(source.made, 200)
      request.destroy()
    }
  })

  it("is cut when it cannot be read to the end", async () => {
    const { port, exits } = await serve(sourceOf(10, 1000, undefined, 5))
    assert.isFalse((await fetchSlowly(port)).whole)
    await eventually("the response is over", () => exits.length === 1)
  })

  it("goes through memory of its own where middleware has put its own write in place", async () => {
    const kept: Array<Buffer> = []
    const source = sourceOf(10, 1000)
    const port = await listen((request, response) => {
      response.write = (piece: unknown) => kept.push(piece as Buffer) > 0
      const { end } = response
      response.end = () => Reflect.apply(end, response, [Buffer.concat(kept)]) as typeof response
      Effect.runFork(
        sendReply(request, response, replyOf(source.body), {
          timeoutMillis: 10_000,
          buffers: shared,
          slow: new SlowReaders()
        })
      )
    })
    assert.strictEqual((await fetchSlowly(port)).digest, digestOf(10, 1000))
    assert.deepStrictEqual(source.lent, [false])
  })
})

describe("the buffers that bodies are read through", () => {
  it("are large for the first sixty-four, smaller for the next and small for the rest, and are used again", () => {
    const buffers = new PieceBuffers()
    const taken = Array.from({ length: 2000 }, () => buffers.take())
    const bytes = taken.reduce((sum, buffer) => sum + buffer.length, 0)
    assert.strictEqual(bytes, 64 * 256 * 1024 + 448 * 64 * 1024 + 1488 * 16 * 1024)
    assert.strictEqual(new Set(taken).size, 2000)
    for (const buffer of taken) buffers.give(buffer, true)
    const again = Array.from({ length: 16 }, () => buffers.take())
    for (const buffer of again) {
      assert.strictEqual(buffer.length, bufferSizes[0]?.bytes)
      assert.include(taken, buffer)
    }
  })

  it("are not used again while somebody may still read from them", () => {
    const buffers = new PieceBuffers()
    const first = buffers.take()
    buffers.give(first, false)
    assert.notStrictEqual(buffers.take(), first)
  })
})
