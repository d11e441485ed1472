import { nowMillis } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { type Position, positionOf, shapePath } from "./ShapeReader.ts"

/** Clients that each wait for what comes behind a position, read it and throw it away, as a process of its own. */
export interface ReadCommand {
  readonly port: number
  readonly parameters: string
  readonly from: Position
  readonly count: number
  /** All of it has come when so many bytes have. */
  readonly bytes: number
}
export type ReadAnswer =
  | { readonly _tag: "Waiting" }
  | { readonly _tag: "Read"; readonly lastAt: number }
  | { readonly _tag: "Failed"; readonly message: string }

const tell = (answer: ReadAnswer): void => void process.send?.(answer)

const follow = async (connection: HttpConnection, { bytes, from, parameters }: ReadCommand) => {
  const left = { bytes }
  let position = from
  while (left.bytes > 0) {
    const reply = await connection.request(shapePath(parameters, position, "&live=true"), (piece) => {
      left.bytes -= piece.length
    })
    position = positionOf(reply)
  }
  return nowMillis()
}

const read = async (command: ReadCommand) => {
  const connections = await Promise.all(
    Array.from({ length: command.count }, () => HttpConnection.open(command.port))
  )
  const following = connections.map((connection) => follow(connection, command))
  tell({ _tag: "Waiting" })
  const at = await Promise.all(following)
  for (const connection of connections) connection.close()
  tell({ _tag: "Read", lastAt: Math.max(...at) })
}

process.on("message", (message) => {
  read(message as ReadCommand).catch((error: unknown) => tell({ _tag: "Failed", message: String(error) }))
})
process.send?.({ port: 0 })
