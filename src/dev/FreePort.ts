import { createServer } from "node:net"

const listens = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(undefined))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address()
      const found = typeof address === "object" && address !== null ? address.port : undefined
      server.close(() => resolve(found))
    })
  })

/** Below those that systems give to outgoing connections and to servers that ask for any port: they would take it at any moment. */
const lowestPort = 10_000
const highestPort = 32_767
const tries = 20

const quietPort = async (): Promise<number | undefined> => {
  for (let i = 0; i < tries; i++) {
    const found = await listens(lowestPort + Math.floor(Math.random() * (highestPort + 1 - lowestPort)))
    if (found !== undefined) return found
  }
  return listens(0)
}

/**
 * A TCP port of 127.0.0.1 that was free a moment ago: `preferred` if it is, otherwise one that hardly anybody else comes upon.
 * Somebody else can take it before the caller does, so callers try again when binding fails.
 */
export const freePort = async (preferred?: number): Promise<number> => {
  const wanted = preferred === undefined ? undefined : await listens(preferred)
  const port = wanted ?? (await quietPort())
  if (port === undefined) throw new Error("There is no free TCP port on 127.0.0.1.")
  return port
}
