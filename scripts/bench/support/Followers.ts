import { nowMillis, sleep } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { type Change, newest, type Position, positionOf, shapePath } from "./ShapeReader.ts"

/** A change as a follower was told of it. */
export interface Told {
  readonly id: number
  readonly atMillis: number
}

/** What happened to a follower that should not happen to anybody. */
export interface Trouble {
  /** Connections that ended without an answer. */
  cut: number
  /** 409: the client has to fetch everything again. */
  refetches: number
  /** 503 and everything else that is no answer. */
  refused: number
}

/**
 * Reads a shape by long polls at one instance, and at the next one of `ports` when that one hangs up, refuses or asks it to
 * go: what a client behind a balancer does, without the pause that client libraries make after a failure.
 */
export class Follower {
  readonly told: Array<Told> = []
  readonly trouble: Trouble = { cut: 0, refetches: 0, refused: 0 }
  private readonly ports: ReadonlyArray<number>
  private readonly parameters: string
  private turn = 0
  private stopped = false
  private connection: HttpConnection | undefined
  private running: Promise<void> = Promise.resolve()

  constructor(ports: ReadonlyArray<number>, parameters: string) {
    this.ports = ports
    this.parameters = parameters
  }

  /** Begins at the end of the shape. Completes when the first request is under way. */
  async start(): Promise<void> {
    const position = await newest(await this.connected(), this.parameters)
    this.running = this.follow(position)
  }

  private async connected(): Promise<HttpConnection> {
    return (this.connection ??= await HttpConnection.open(this.ports[this.turn % this.ports.length] ?? 0))
  }

  private elsewhere(): void {
    this.connection?.close()
    this.connection = undefined
    this.turn++
  }

  private async follow(from: Position): Promise<void> {
    let position = from
    while (!this.stopped) {
      try {
        const connection = await this.connected()
        const reply = await connection.request(shapePath(this.parameters, position, "&live=true"))
        if (reply.headers.get("connection") === "close") this.elsewhere()
        if (reply.status === 409) this.trouble.refetches++
        if (reply.status !== 200) {
          if (reply.status !== 409) this.trouble.refused++
          this.elsewhere()
          await sleep(20)
          continue
        }
        position = positionOf(reply)
        for (const { headers, value } of JSON.parse(reply.body.toString()) as ReadonlyArray<Change>) {
          if (headers.operation !== undefined)
            this.told.push({ id: Number(value?.["id"]), atMillis: reply.endAt })
        }
      } catch {
        if (this.stopped) return
        this.trouble.cut++
        this.elsewhere()
        await sleep(5)
      }
    }
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.connection?.close()
    // Its request is never answered.
    await Promise.race([this.running, sleep(50)])
  }

  /** The longest time between two messages, of which one came after `from`, and none later than `until` begins it. */
  longestSilence(from: number, until: number): number {
    let longest = 0
    let before = from
    for (const { atMillis } of this.told) {
      if (atMillis < from) before = atMillis
      else {
        if (before < until) longest = Math.max(longest, atMillis - before)
        before = atMillis
      }
    }
    return Math.max(longest, before < until ? nowMillis() - before : 0)
  }
}
