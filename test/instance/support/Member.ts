import { Cause, Clock, type Context, Effect, Exit, type Fiber, Layer, Logger, Scope } from "effect"
import { type BatonConfig, Config } from "../../../src/config/BatonConfig.ts"
import { HealthRef } from "../../../src/health/HealthRef.ts"
import type { HealthState } from "../../../src/health/HealthState.ts"
import { Conditions } from "../../../src/http/shape/Conditions.ts"
import { ShapeApi } from "../../../src/http/shape/ShapeApi.ts"
import { Instance, type InstanceFailed } from "../../../src/instance/Instance.ts"
import { Verifier } from "../../../src/instance/verify/Verifier.ts"
import { SessionServices } from "../../../src/instance/SessionServices.ts"
import { LockService } from "../../../src/lock/LockService.ts"
import { CurrentSession } from "../../../src/registry/CurrentSession.ts"
import { shapeRegistryLayer } from "../../../src/registry/ShapeRegistryLive.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { shapeLogsLayer } from "../../../src/storage/ShapeLogsLive.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import type { Disk } from "../../../src/storage/disk/Disk.ts"
import type { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"
import { ask, type Asked, type Received } from "../../http/support/harness.ts"
import { fakeServices, Strikes } from "./FakeServices.ts"
import type { FakePostgres, Peer } from "./FakePostgres.ts"
import { Gate, type VirtualTime } from "./VirtualTime.ts"

const layerOn = (disk: Disk) => {
  const shapes = Layer.mergeAll(shapeLogsLayer, shapeRegistryLayer).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Storage.layerOn(() => disk),
        CurrentSession.layer
      )
    )
  )
  return Layer.mergeAll(
    Instance.layer.pipe(Layer.provide(Layer.mergeAll(SessionServices.layer, LockService.layer))),
    ShapeApi.layer()
  ).pipe(
    Layer.provide(Layer.merge(Conditions.layerNone, Verifier.layer)),
    Layer.provideMerge(Layer.mergeAll(shapes, HealthRef.layer))
  )
}

export interface MemberOptions {
  readonly name: string
  readonly time: VirtualTime
  readonly server: FakePostgres
  readonly config: BatonConfig
  readonly disk: FaultyDisk
  readonly onAcknowledge: (member: string, lsn: bigint) => void
}

const services = Effect.all({
  health: HealthRef,
  storage: Storage,
  api: ShapeApi,
  instance: Instance
})

type Services = Effect.Success<typeof services>

/** One instance of the service: everything of it is real apart from what it knows of Postgres, and time. */
export class Member implements Peer {
  readonly name: string
  readonly process: Gate
  readonly network: Gate
  readonly log: Array<string>
  readonly strikes: Strikes
  /** Killed, or stopped in order: it does nothing any more but, in the second case, answer readers. */
  isKilled = false
  isStopping = false
  readonly engine: StorageEngine
  private readonly server: FakePostgres
  private readonly services: Services
  private readonly context: Context.Context<never>
  private readonly scope: Scope.Closeable
  readonly running: Fiber.Fiber<void, InstanceFailed>

  private constructor(
    peer: Peer,
    log: Array<string>,
    strikes: Strikes,
    server: FakePostgres,
    parts: Services,
    context: Context.Context<never>,
    scope: Scope.Closeable
  ) {
    this.scope = scope
    this.name = peer.name
    this.process = peer.process
    this.network = peer.network
    this.log = log
    this.strikes = strikes
    this.server = server
    this.services = parts
    this.context = context
    this.engine = parts.storage.engine
    this.running = this.fork(parts.instance.run)
  }

  static async start(options: MemberOptions): Promise<Member> {
    const { config, disk, name, server, time } = options
    const peer: Peer = { name, process: new Gate(), network: new Gate() }
    const log: Array<string> = []
    const logger = Logger.make(({ cause, logLevel, message }) => {
      const why = cause.reasons.length === 0 ? "" : `\n${Cause.pretty(cause)}`
      log.push(
        `${time.now} ${logLevel} ${Array.isArray(message) ? message.join(" ") : String(message)}${why}`
      )
    })
    const strikes = new Strikes()
    const everything = layerOn(disk.mount(peer.process)).pipe(
      Layer.provide(
        fakeServices({
          server,
          peer,
          time,
          strikes,
          onAcknowledge: (lsn) => options.onAcknowledge(name, lsn)
        })
      ),
      Layer.provide(Layer.succeed(Config, { ...config, instanceId: name })),
      Layer.provideMerge(Logger.layer([logger])),
      Layer.provideMerge(Layer.succeed(Clock.Clock, time.clockBehind(peer.process)))
    )
    return Effect.runPromise(
      Effect.gen(function* () {
        const scope = Scope.makeUnsafe()
        const context = yield* Layer.buildWithScope(everything, scope)
        const parts = yield* Effect.provide(services, context)
        return new Member(peer, log, strikes, server, parts, context, scope)
      })
    )
  }

  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    return Effect.runForkWith(this.context)(effect)
  }

  get state(): HealthState {
    return this.services.health.current()
  }

  /** Every state it was in, in order. */
  get states(): ReadonlyArray<string> {
    const changes = this.log.map((line) => /Health: \w+ -> (\w+) /.exec(line)?.[1])
    return ["starting", ...changes.filter((state) => state !== undefined)]
  }

  /** Nothing happens in it, and nothing reaches it, until it is thawed. */
  get isFrozen(): boolean {
    return !this.isKilled && this.process.isShut
  }

  /** A request can be sent to it. */
  get isReachable(): boolean {
    return !this.isKilled && !this.process.isShut && this.state !== "stopped"
  }

  freeze(): void {
    this.process.shut()
  }

  thaw(): void {
    if (!this.isKilled) this.process.open()
  }

  /** The end without a word: the kernel closes its connections, and what was in its memory is gone. */
  kill(): void {
    this.process.shut()
    this.isKilled = true
    this.server.peerDied(this)
  }

  /** What SIGTERM does, apart from the HTTP server: gives the lock back and goes on as a follower. */
  shutdown(): Fiber.Fiber<void> {
    this.isStopping = true
    return this.fork(this.services.instance.shutdown)
  }

  /** What a request does that finds it asleep. */
  wake(): void {
    this.fork(this.services.health.send("woken"))
  }

  /** One HTTP request, without the network. */
  ask(target: string, asked?: Asked): Fiber.Fiber<Received> {
    return this.fork(Effect.provideService(ask(target, asked), ShapeApi, this.services.api))
  }

  /** What a process does last: everything that its layers have opened is closed. */
  leave(): Fiber.Fiber<void> {
    return Effect.runFork(Scope.close(this.scope, Exit.void))
  }

  async close(): Promise<void> {
    await this.engine.close()
  }
}
