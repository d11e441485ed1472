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

/**
 * A TCP port of 127.0.0.1 that was free a moment ago: `preferred` if it is, otherwise one that the system chose.
 * Somebody else can take it before the caller does, so callers try again when binding fails.
 */
export const freePort = async (preferred?: number): Promise<number> => {
  const wanted = preferred === undefined ? undefined : await listens(preferred)
  const port = wanted ?? (await listens(0))
  if (port === undefined) throw new Error("There is no free TCP port on 127.0.0.1.")
  return port
}
