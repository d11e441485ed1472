import { createServer, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { connect, createServer as createProxy, type AddressInfo, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { makeJournalTail } from "../../../src/http/node/JournalTail.ts"
import { isBefore, type JournalPlace } from "../../../src/storage/tail/Shown.ts"
import { followTail } from "../../../src/storage/tail/TailClient.ts"
import type { CreatedObject } from "../../../src/storage/tail/TailFrames.ts"
import type { TailReader, TailTarget } from "../../../src/storage/tail/TailReader.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { certificate, privateKey } from "../../http/support/testCertificate.ts"
import { FakeWriter } from "./support.ts"

const secret = Redacted.make("between instances")

const listen = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const serve = Effect.fnUntraced(function* (writer: FakeWriter, access: "guarded" | "closed" = "guarded") {
  const tail = yield* makeJournalTail(writer, access === "closed" ? undefined : secret)
  const requested: Array<string> = []
  const server = createServer((request, response) => {
    requested.push(request.url ?? "")
    if (!tail.take(request, response, request.url ?? "/")) response.writeHead(404).end()
  })
  return { url: `http://127.0.0.1:${yield* listen(server)}`, tail, requested }
})

/** What stands between the two: it can hold bytes back, change them and cut connections. */
const between = Effect.fnUntraced(function* (url: string) {
  const sockets = new Set<Socket>()
  const state = { isHolding: false, damages: false }
  const proxy = createProxy((socket) => {
    const other = connect(Number(new URL(url).port), "127.0.0.1")
    for (const one of [socket, other]) {
      sockets.add(one)
      one.on("error", () => {})
      one.on("close", () => {
        socket.destroy()
        other.destroy()
      })
    }
    socket.on("data", (data) => other.write(data))
    other.on("data", (data) => {
      if (state.isHolding) return
      if (state.damages) data[data.length - 3] = (data.at(-3) ?? 0) ^ 1
      socket.write(data)
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void proxy.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => proxy.close())
  )
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  yield* Effect.addFinalizer(() => Effect.sync(cut))
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, state, cut }
})

/** A mirror that keeps what it is told, and wants what comes next. */
class Mirror implements TailReader {
  readonly segments = new Map<number, Buffer>()
  readonly objects: Array<CreatedObject> = []
  readonly states: Array<boolean> = []
  readonly complaints: Array<string> = []
  readonly epochs: Array<number> = []
  url: string | undefined
  epoch: number
  at: JournalPlace
  /** It wants nothing of what it is sent. */
  isElsewhere = false
  /** Applying waits for it. */
  gate: Promise<void> = Promise.resolve()

  constructor(url: string, epoch: number, at: JournalPlace) {
    this.url = url
    this.epoch = epoch
    this.at = at
  }

  readonly target = (): TailTarget | undefined =>
    this.url === undefined ? undefined : { url: this.url, epoch: this.epoch, ...this.at }

  readonly applyBytes = async (epoch: number, segment: number, position: number, bytes: Uint8Array) => {
    this.epochs.push(epoch)
    await this.gate
    if (epoch !== this.epoch || this.isElsewhere) return false
    const before = this.segments.get(segment) ?? Buffer.alloc(0)
    assert.strictEqual(position, before.length)
    this.segments.set(segment, Buffer.concat([before, bytes]))
    this.at = { segment, position: position + bytes.length }
    return true
  }

  readonly created = (_epoch: number, object: CreatedObject) => {
    assert.isFalse(isBefore(this.at, object))
    this.objects.push(object)
  }

  readonly isAlive = (alive: boolean) => void this.states.push(alive)
  readonly complain = (_topic: string, message: string) => void this.complaints.push(message)

  hasAll(writer: FakeWriter): boolean {
    return [...writer.segments].every(
      ([segment, bytes]) => bytes.length === 0 || this.segments.get(segment)?.equals(bytes)
    )
  }
}

const following = (mirror: Mirror, given = secret) =>
  Effect.acquireRelease(Effect.forkChild(followTail(mirror, given)), Fiber.interrupt)

const until = (what: string, holds: () => boolean) => Effect.promise(() => eventually(what, holds))

const at = { segment: 1, position: 0 }

describe("a mirror that follows the tail", () => {
  it.live("has what is written in order, across segments, and hears of objects", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const { tail, url } = yield* serve(writer)
      const mirror = new Mirror(url, 1, at)
      yield* following(mirror)
      for (let i = 0; i < 20; i++) {
        writer.write(i * 3000)
        if (i % 7 === 6) writer.rotate()
        writer.show()
      }
      writer.create(5, writer.end)
      yield* until("everything", () => mirror.hasAll(writer) && mirror.objects.length === 1)
      assert.deepStrictEqual(mirror.states, [true])
      assert.strictEqual(tail.mirrors(), 1)
    }).pipe(Effect.scoped)
  )

  it.live("goes on where it was after its connection was cut", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const { requested, url } = yield* serve(writer)
      const link = yield* between(url)
      const mirror = new Mirror(link.url, 1, at)
      yield* following(mirror)
      for (let round = 0; round < 3; round++) {
        writer.write(5000)
        writer.show()
        yield* until(`round ${round}`, () => mirror.hasAll(writer) && mirror.states.at(-1) === true)
        link.cut()
        yield* until("the loss", () => mirror.states.filter((alive) => !alive).length > round)
      }
      yield* until("the last connection", () => mirror.states.at(-1) === true)
      assert.deepStrictEqual(
        requested.map((target) => new URL(target, url).searchParams.get("position")),
        ["0", "5000", "10000", "15000"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("does not rely on a writer that is silent, and on one whose bytes were changed on the way", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const link = yield* between((yield* serve(writer)).url)
      const mirror = new Mirror(link.url, 1, at)
      yield* following(mirror)
      yield* until("the tail", () => mirror.states.at(-1) === true)
      link.state.isHolding = true
      yield* until("silence", () => mirror.states.at(-1) === false)
      assert.match(mirror.complaints.at(-1) ?? "", /it was not heard of for \d+ ms/)
      link.state.isHolding = false
      yield* until("the tail again", () => mirror.states.at(-1) === true)
      link.state.damages = true
      writer.write(1000)
      writer.show()
      yield* until("damage", () => mirror.states.at(-1) === false)
      assert.strictEqual(mirror.at.position, 0)
      link.state.damages = false
      yield* until("everything", () => mirror.hasAll(writer))
    }).pipe(Effect.scoped)
  )

  it.live(
    "follows the writer of another epoch as soon as it is known, and lets nothing of the former through",
    () =>
      Effect.gen(function* () {
        const before = new FakeWriter(1, 1)
        const after = new FakeWriter(2, 4)
        const mirror = new Mirror((yield* serve(before)).url, 1, at)
        const gate = Promise.withResolvers<void>()
        const successor = yield* serve(after)
        yield* following(mirror)
        yield* until("the first writer", () => mirror.states.at(-1) === true)
        mirror.gate = gate.promise
        for (let i = 0; i < 5; i++) {
          before.write(300_000)
          before.show()
        }
        yield* until("the first bytes", () => mirror.epochs.length > 0)
        after.write(100)
        after.show()
        mirror.url = successor.url
        mirror.epoch = 2
        mirror.at = { segment: 4, position: 0 }
        gate.resolve()
        yield* until("what the second writer writes", () => mirror.segments.get(4)?.length === 100)
        assert.deepStrictEqual(mirror.epochs, [1, 2])
        assert.isUndefined(mirror.segments.get(1))
      }).pipe(Effect.scoped)
  )

  it.live("says what to do about a wrong secret, and about a writer that has none", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const wrong = new Mirror((yield* serve(writer)).url, 1, at)
      yield* following(wrong, Redacted.make("guessed"))
      const none = new Mirror((yield* serve(writer, "closed")).url, 1, at)
      const { url } = yield* serve(writer)
      const unknown = new Mirror(`${url}/nowhere`, 1, at)
      for (const mirror of [none, unknown]) yield* following(mirror)
      yield* until("complaints", () =>
        [wrong, none, unknown].every(({ complaints }) => complaints.length > 0)
      )
      assert.match(
        wrong.complaints[0] ?? "",
        /The secret is missing or wrong.*Give all instances the same BATON_TAIL_SECRET/
      )
      assert.match(none.complaints[0] ?? "", /no secret is configured/)
      assert.match(unknown.complaints[0] ?? "", /it answers with status 404.*Check BATON_ADVERTISE_URL/)
      assert.deepStrictEqual(wrong.states, [])
    }).pipe(Effect.scoped)
  )

  it.live("asks again without a word while the writer is not the writer yet, or when it has stopped", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      writer.isWriter = false
      const { requested, url } = yield* serve(writer)
      const mirror = new Mirror(url, 1, at)
      yield* following(mirror)
      yield* until("a second try", () => requested.length > 1)
      writer.isWriter = true
      yield* until("the tail", () => mirror.states.at(-1) === true)
      writer.isWriter = false
      writer.tellMoved()
      yield* until("its end", () => mirror.states.at(-1) === false)
      assert.deepStrictEqual(mirror.complaints, [])
    }).pipe(Effect.scoped)
  )

  it.live("believes only certificates that this machine trusts", () =>
    Effect.gen(function* () {
      const tail = yield* makeJournalTail(new FakeWriter(1, 1), secret)
      const server = createTlsServer({ cert: certificate, key: privateKey }, (request, response) =>
        tail.take(request, response, request.url ?? "/")
      )
      const mirror = new Mirror(`https://127.0.0.1:${yield* listen(server as unknown as Server)}`, 1, at)
      yield* following(mirror)
      yield* until("a complaint", () => mirror.complaints.length > 0)
      assert.match(mirror.complaints[0] ?? "", /certificate/)
    }).pipe(Effect.scoped)
  )

  it.live("asks anew for what it needs when that is something else than what it is sent", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const { requested, url } = yield* serve(writer)
      const mirror = new Mirror(url, 1, at)
      yield* following(mirror)
      yield* until("the tail", () => mirror.states.at(-1) === true)
      mirror.isElsewhere = true
      writer.write(100)
      writer.show()
      yield* until("the end of it", () => mirror.states.at(-1) === false)
      mirror.isElsewhere = false
      yield* until("everything", () => mirror.hasAll(writer))
      assert.isAbove(requested.length, 1)
      assert.deepStrictEqual(mirror.complaints, [])
    }).pipe(Effect.scoped)
  )

  it.live("gives up its connection when it is stopped", () =>
    Effect.gen(function* () {
      const { tail, url } = yield* serve(new FakeWriter(1, 1))
      const mirror = new Mirror(url, 1, at)
      const fiber = yield* Effect.forkChild(followTail(mirror, secret))
      yield* until("the tail", () => mirror.states.at(-1) === true)
      yield* Fiber.interrupt(fiber)
      yield* until("nobody", () => tail.mirrors() === 0)
    }).pipe(Effect.scoped)
  )
})
