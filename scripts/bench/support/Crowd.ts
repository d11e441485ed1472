import type { Answer, Command } from "./crowdClients.ts"
import { type Helper, startHelper } from "./Fork.ts"

/** Files that a process of this machine may open are for this many clients, with some left. */
const perProcess = 18_000

type Waiting = PromiseWithResolvers<Answer>

/** Many clients of one server, in as many processes as it takes. */
export class Crowd {
  private readonly members: ReadonlyArray<{
    readonly helper: Helper
    readonly count: number
    waiting: Waiting
  }>

  private constructor(members: ReadonlyArray<{ helper: Helper; count: number; waiting: Waiting }>) {
    this.members = members
    for (const member of members)
      member.helper.child.on("message", (message) => {
        const answer = message as Answer
        if (answer._tag === "Failed") member.waiting.reject(new Error(answer.message))
        else member.waiting.resolve(answer)
      })
  }

  static async of(count: number): Promise<Crowd> {
    const members = []
    for (let left = count; left > 0; left -= perProcess) {
      const waiting: Waiting = Promise.withResolvers()
      waiting.promise.catch(() => {})
      members.push({
        helper: await startHelper("crowdClients.ts"),
        count: Math.min(left, perProcess),
        waiting
      })
    }
    return new Crowd(members)
  }

  private async tell(
    command: (first: number, count: number, member: number) => Command,
    wanted: Answer["_tag"]
  ) {
    let first = 0
    for (const [i, member] of this.members.entries()) {
      member.waiting = Promise.withResolvers()
      member.waiting.promise.catch(() => {})
      member.helper.child.send(command(first, member.count, i))
      first += member.count
    }
    return this.all(wanted)
  }

  private async all(wanted: Answer["_tag"]): Promise<ReadonlyArray<Answer>> {
    const found = await Promise.all(this.members.map(({ waiting }) => waiting.promise))
    for (const answer of found)
      if (answer._tag !== wanted) throw new Error(`${wanted} was to come, and ${answer._tag} came`)
    for (const member of this.members) {
      member.waiting = Promise.withResolvers()
      member.waiting.promise.catch(() => {})
    }
    return found
  }

  /** Opens all connections and sends a request on each. Gives how long that took. Of streams the heads have come then. */
  async open(
    options: Omit<Extract<Command, { _tag: "Open" }>, "_tag" | "address" | "count">
  ): Promise<number> {
    const began = performance.now()
    // Together they are as fast as they are to be.
    const perSecond = options.perSecond / this.members.length
    await this.tell((first, count, member) => {
      const part = (list: ReadonlyArray<string>) =>
        list.length > 1 ? list.slice(first, first + count) : list
      const [paths, marks, address] = [part(options.paths), part(options.marks), 1 + member]
      return { _tag: "Open", ...options, paths, marks, count, address, perSecond }
    }, "Opened")
    return performance.now() - began
  }

  async ask(paths: ReadonlyArray<string>, marks: ReadonlyArray<string>): Promise<void> {
    await this.tell((first, count) => {
      const part = (list: ReadonlyArray<string>) =>
        list.length > 1 ? list.slice(first, first + count) : list
      return { _tag: "Ask", paths: part(paths), marks: part(marks) }
    }, "Asked")
  }

  expect(marks: ReadonlyArray<string>): void {
    for (const { helper } of this.members) helper.child.send({ _tag: "Expect", marks } satisfies Command)
  }

  /** When each had what it waited for, in order. */
  async answered(): Promise<ReadonlyArray<number>> {
    const found = await this.all("All")
    return found.flatMap((answer) => (answer._tag === "All" ? answer.at : [])).toSorted((a, b) => a - b)
  }

  async close(): Promise<void> {
    for (const { helper } of this.members) {
      helper.child.send({ _tag: "Close" } satisfies Command)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
    for (const { helper } of this.members) await helper.stop()
  }
}
