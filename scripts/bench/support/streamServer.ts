/**
 * Stands in for a walsender: sends the bytes of a replication stream to whoever connects, as fast as they are taken, and throws
 * away what comes back. Arguments: a directory for the socket, and `StreamBytesOptions` as JSON.
 */
import { createServer } from "node:net"
import * as path from "node:path"
import { streamBytes, type StreamBytesOptions } from "./StreamBytes.ts"

const [directory = "", json = "{}"] = process.argv.slice(2)
const given = JSON.parse(json) as Omit<StreamBytesOptions, "firstLsn"> & { readonly firstLsn: string }
const pieces = [...streamBytes({ ...given, firstLsn: BigInt(given.firstLsn) })]
/** That the stream has begun. Source: PostgreSQL documentation, "Message Formats", CopyBothResponse. */
const began = Buffer.from([0x57, 0, 0, 0, 7, 0, 0, 0])

const server = createServer(async (socket) => {
  socket.on("error", () => {})
  socket.resume()
  socket.write(began)
  for (const piece of pieces) {
    if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve))
  }
})
server.listen(path.join(directory, ".s.PGSQL.5432"), () => process.send?.({ port: 0 }))
