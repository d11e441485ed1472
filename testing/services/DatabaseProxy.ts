import { connect, createServer, type Socket } from "node:net"

/** A wire to the database that can be cut, or go silent as behind a network partition. */
export interface DatabaseProxy {
  readonly port: number
  /** The same database, through this wire. */
  readonly url: (databaseUrl: string) => string
  /** Ends every connection; new ones are possible. */
  readonly cut: () => void
  /** Ends every connection and refuses new ones, until `restore`. */
  readonly block: () => void
  /** Connections stay open and nothing passes in either direction, until `restore`. */
  readonly blackHole: () => void
  readonly restore: () => void
  readonly close: () => Promise<void>
}

export const startDatabaseProxy = async (target: () => number): Promise<DatabaseProxy> => {
  const pairs = new Set<readonly [Socket, Socket]>()
  let mode: "open" | "blocked" | "silent" = "open"
  const server = createServer({ noDelay: true }, (client) => {
    if (mode === "blocked") {
      client.destroy()
      return
    }
    const upstream = connect({ port: target(), host: "127.0.0.1", noDelay: true })
    const pair = [client, upstream] as const
    pairs.add(pair)
    const silent = () => mode === "silent"
    client.on("data", (data) => {
      if (!silent()) upstream.write(data)
    })
    upstream.on("data", (data) => {
      if (!silent()) client.write(data)
    })
    for (const [from, to] of [pair, [upstream, client] as const]) {
      from.on("error", () => from.destroy())
      // In a partition the other side does not hear of the end either.
      from.on("close", () => {
        if (!silent()) to.destroy()
        if (client.destroyed && upstream.destroyed) pairs.delete(pair)
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("The proxy has no port.")
  const { port } = address
  const cut = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
    pairs.clear()
  }
  return {
    port,
    url: (databaseUrl) => {
      const url = new URL(databaseUrl)
      url.hostname = "127.0.0.1"
      url.port = String(port)
      return url.href
    },
    cut,
    block: () => {
      mode = "blocked"
      cut()
    },
    blackHole: () => {
      mode = "silent"
    },
    restore: () => {
      // What was swallowed in between cannot be made up for: those connections are worth nothing any more.
      if (mode === "silent") cut()
      mode = "open"
    },
    close: async () => {
      cut()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
