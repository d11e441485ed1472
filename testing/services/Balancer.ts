import { connect, createServer, type Socket } from "node:net"
import { patient } from "../Load.ts"

/** What `/v1/health` says; `down`: nothing listens, `silent`: no answer in time. */
export type Health = "active" | "waiting" | "starting" | "stopping" | "down" | "silent"

/** Asks for the health of whatever listens on the port. Fails only when the answer is none that a service may give. */
export const healthOf = async (port: number, timeoutMillis = 1000): Promise<Health> => {
  let status: number
  let text: string
  try {
    const response = await fetch(`http://127.0.0.1:${port}/v1/health`, {
      signal: AbortSignal.timeout(timeoutMillis),
      headers: { connection: "close" }
    })
    status = response.status
    text = await response.text()
  } catch (error) {
    return error instanceof Error && error.name === "TimeoutError" ? "silent" : "down"
  }
  for (const [health, expected] of Object.entries(statusOf)) {
    if (status === expected && saysOnly(health).test(text)) return health as keyof typeof statusOf
  }
  throw new Error(`Unexpected health: ${status} ${text}`)
}

/** With a reason, if something is wrong. */
const saysOnly = (health: string): RegExp => new RegExp(`^{"status":"${health}"(,"reason":"[^"]+")?}$`)

const statusOf = { active: 200, waiting: 202, starting: 202, stopping: 503 } as const

export interface BalancerOptions {
  /** Ports of this machine behind the balancer; nothing needs to listen there yet. */
  readonly backends: ReadonlyArray<number>
  readonly pollMillis?: number
  /** A backend that does not answer for so long, on an idle machine, gets no new connections. */
  readonly healthTimeoutMillis?: number
  /** Whether the connections of a silent backend are cut as well, as some balancers do, or left to it. */
  readonly cutsSilentBackends?: boolean
  /** Backends whose health is this come first. */
  readonly prefers?: Health
  /** Backends that start, or take over, get connections only when there are no others. */
  readonly startingLast?: boolean
}

export interface Balancer {
  readonly port: number
  readonly url: string
  readonly health: (backend: number) => Health
  /** Connections that ended because a backend was lost. */
  readonly cutConnections: () => number
  readonly close: () => Promise<void>
}

const acceptsConnections = (health: Health | undefined): boolean =>
  health === "active" || health === "waiting" || health === "starting"

/**
 * A TCP balancer as deployments have them: it forwards bytes, gives new connections to backends whose `/v1/health` is
 * 2xx, in turn, tries the next one when a connection is refused, and leaves the connections of a draining backend alone.
 */
export const startBalancer = async (options: BalancerOptions): Promise<Balancer> => {
  const {
    backends,
    pollMillis = 50,
    healthTimeoutMillis = 500,
    cutsSilentBackends = false,
    prefers,
    startingLast = false
  } = options
  const states = new Map<number, Health>()
  const pairs = new Map<number, Set<readonly [client: Socket, upstream: Socket]>>(
    backends.map((backend) => [backend, new Set()])
  )
  const closing = new AbortController()
  let turn = 0
  let cut = 0

  const poll = async (backend: number): Promise<void> => {
    while (!closing.signal.aborted) {
      const health = await healthOf(backend, patient(healthTimeoutMillis))
      states.set(backend, health)
      if (health === "silent" && cutsSilentBackends) {
        for (const [client, upstream] of pairs.get(backend) ?? []) {
          client.destroy()
          upstream.destroy()
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pollMillis))
    }
  }

  const rank = (backend: number): number => {
    const state = states.get(backend)
    if (state === prefers) return 0
    return startingLast && state === "starting" ? 2 : 1
  }

  const inTurn = (): ReadonlyArray<number> => {
    turn++
    const able = backends.filter((backend) => acceptsConnections(states.get(backend)))
    const turned = able
      .map((_, i) => able[(i + turn) % able.length])
      .filter((backend) => backend !== undefined)
    return turned.toSorted((a, b) => rank(a) - rank(b))
  }

  const forward = (client: Socket, candidates: ReadonlyArray<number>): void => {
    const [backend, ...others] = candidates
    if (backend === undefined || client.destroyed) {
      // Nobody is there: the client sees a cut connection and comes back.
      if (!client.destroyed) cut++
      client.destroy()
      return
    }
    const upstream = connect({ port: backend, host: "127.0.0.1", noDelay: true })
    let connected = false
    upstream.once("connect", () => {
      connected = true
      const pair = [client, upstream] as const
      pairs.get(backend)?.add(pair)
      upstream.once("close", () => pairs.get(backend)?.delete(pair))
      client.pipe(upstream)
      upstream.pipe(client)
    })
    upstream.once("error", () => {
      if (!connected) forward(client, others)
      else {
        cut++
        client.resetAndDestroy()
      }
    })
    upstream.once("close", () => {
      if (connected) client.end()
    })
    client.once("close", () => upstream.destroy())
  }

  const clients = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    clients.add(client)
    client.once("close", () => clients.delete(client))
    client.on("error", () => client.destroy())
    forward(client, inTurn())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("The balancer has no port.")
  const loops = backends.map(poll)
  return {
    port: address.port,
    url: `http://127.0.0.1:${address.port}`,
    health: (backend) => states.get(backend) ?? "down",
    cutConnections: () => cut,
    close: async () => {
      closing.abort()
      for (const client of clients) client.destroy()
      await new Promise((resolve) => server.close(resolve))
      await Promise.all(loops)
    }
  }
}
