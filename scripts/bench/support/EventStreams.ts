import type { Answer, Command } from "./eventClients.ts"
import { startHelper } from "./Fork.ts"

/** Streams of events to many clients in a process of their own. */
export interface EventStreams {
  /** Opens so many more; resolves when each of them has its headers. */
  readonly open: (count: number, reads: boolean) => Promise<void>
  /** Waits for the next change: when each of those who read had it, and how many rows all of them have had so far. */
  readonly delivered: () => Promise<{ readonly at: ReadonlyArray<number>; readonly rows: number }>
  readonly close: () => Promise<void>
}

export const eventStreams = async (port: number, path: string): Promise<EventStreams> => {
  const helper = await startHelper("eventClients.ts")
  let opened = Promise.withResolvers<void>()
  let next = Promise.withResolvers<{ readonly at: ReadonlyArray<number>; readonly rows: number }>()
  helper.child.on("message", (message) => {
    const answer = message as Answer
    if (answer._tag === "Opened") opened.resolve()
    else if (answer._tag === "Delivered") next.resolve(answer)
    else {
      const error = new Error(answer.message)
      opened.promise.catch(() => {})
      next.promise.catch(() => {})
      opened.reject(error)
      next.reject(error)
    }
  })
  const send = (command: Command) => helper.child.send(command)
  return {
    open: async (count, reads) => {
      opened = Promise.withResolvers()
      send({ _tag: "Open", port, path, count, reads })
      await opened.promise
    },
    delivered: async () => {
      const result = await next.promise
      next = Promise.withResolvers()
      return result
    },
    close: async () => {
      send({ _tag: "Close" })
      await helper.stop()
    }
  }
}
