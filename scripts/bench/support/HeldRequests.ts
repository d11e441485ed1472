import { eventually, sleep } from "./Clock.ts"
import { type Helper, startHelper } from "./Fork.ts"
import type { Answer, Command, Replies } from "./heldClients.ts"
import { cpuMillis, openFiles } from "./ProcessFacts.ts"

/** Thousands of requests that a server holds. */
export interface HeldRequests {
  readonly replies: Promise<Replies>
  readonly close: () => Promise<void>
}

/** Opens `count` connections with a request each, and waits until the server `pid` has them all and has nothing to do. */
export const holdRequests = async (server: {
  readonly pid: number
  readonly port: number
  readonly path: string
  readonly count: number
}): Promise<HeldRequests> => {
  const helper: Helper = await startHelper("heldClients.ts")
  const opened = Promise.withResolvers<void>()
  const replies = Promise.withResolvers<Replies>()
  helper.child.on("message", (message) => {
    const answer = message as Answer
    if (answer._tag === "Opened") opened.resolve()
    else if (answer._tag === "Replies") replies.resolve(answer)
    else opened.reject(new Error(answer.message))
  })
  const send = (command: Command) => helper.child.send(command)
  send({ _tag: "Open", port: server.port, path: server.path, count: server.count })
  await opened.promise
  let last = 0
  await eventually("the server to accept all clients", 60_000, 200, () => {
    const open = openFiles(server.pid)
    const settled = open >= server.count && open === last
    last = open
    return settled ? true : undefined
  })
  await quiet(server.pid)
  return {
    replies: replies.promise,
    close: async () => {
      send({ _tag: "Close" })
      await sleep(100)
      await helper.stop()
    }
  }
}

/** Waits until a process has used next to no processor time for a while. */
export const quiet = async (pid: number, deadlineMillis = 60_000): Promise<void> => {
  let last = cpuMillis(pid)
  let quietRounds = 0
  await eventually("the process to be idle", deadlineMillis, 250, () => {
    const now = cpuMillis(pid)
    quietRounds = now - last <= 20 ? quietRounds + 1 : 0
    last = now
    return quietRounds >= 3 ? true : undefined
  })
}
