import { BucketFault } from "../../../../src/bucket/BucketFault.ts"
import type { ObjectInfo, ObjectStore } from "../../../../src/bucket/ObjectStore.ts"
import { MemoryStore } from "../../../../testing/bucket/MemoryStore.ts"

/** What becomes of a request: done or not, now or later, once or twice, and what the one who has asked is told. */
export const fates = [
  "answered",
  "failed",
  "unanswered",
  "timedOutAndDoneLater",
  "answeredAndDoneAgain",
  "doneTwice"
] as const
export type Fate = (typeof fates)[number]

/** A request whose signature is older than this is refused by every store. */
const validMillis = 15 * 60_000

interface Request {
  readonly by: string
  readonly says: string
  readonly askedAtMillis: number
  readonly run: () => Promise<unknown>
  readonly succeed: (answer: unknown) => void
  readonly fail: (fault: BucketFault) => void
  isAnswered: boolean
}

/** A bucket behind a network on which nothing happens before a test says what. */
export class BucketWire {
  private readonly bucket: MemoryStore
  private readonly nowMillis: () => number
  private readonly requests: Array<Request> = []
  /** Answers of those who are frozen. */
  private readonly held = new Map<string, Array<() => void>>()

  constructor(nowMillis: () => number, onCreated: (by: string, key: string, bytes: Buffer) => void) {
    this.nowMillis = nowMillis
    this.bucket = new MemoryStore("memory://bucket", nowMillis)
    this.created = onCreated
  }

  private readonly created: (by: string, key: string, bytes: Buffer) => void

  /** The bucket as somebody sees it. */
  storeOf(by: string): ObjectStore {
    const ask = <A>(says: string, run: () => Promise<A>): Promise<A> =>
      new Promise<unknown>((succeed, fail) => {
        const askedAtMillis = this.nowMillis()
        this.requests.push({ by, says, askedAtMillis, run, succeed, fail, isAnswered: false })
      }) as Promise<A>
    const { bucket, created } = this
    return {
      name: bucket.name,
      create: (key, content) =>
        ask(`create ${key}`, async () => {
          const answer = await bucket.create(key, content)
          if (answer === "created") created(by, key, Buffer.concat(content))
          return answer
        }),
      get: (key) => ask(`get ${key}`, () => bucket.get(key)),
      async *list(prefix, after) {
        yield* await ask(`list ${prefix}`, async () => {
          const found: Array<ObjectInfo> = []
          for await (const info of bucket.list(prefix, after)) found.push(info)
          return found
        })
      },
      remove: (keys) => ask(`remove ${keys.length}`, () => bucket.remove(keys)),
      close: () => Promise.resolve()
    }
  }

  get isQuiet(): boolean {
    return this.requests.every((request) => request.isAnswered || this.held.has(request.by))
  }

  /** Answers reach nobody who is frozen, until they are thawed. */
  freeze(by: string): void {
    if (!this.held.has(by)) this.held.set(by, [])
  }

  thaw(by: string): void {
    const answers = this.held.get(by) ?? []
    this.held.delete(by)
    for (const answer of answers) answer()
  }

  /** The request that has been under way for longest, or one of those behind it, meets its fate. */
  async deliver(index: number, fate: Fate): Promise<void> {
    const request = this.requests[index % Math.max(1, this.requests.length)]
    if (request === undefined) return
    const stays = fate === "timedOutAndDoneLater" || fate === "answeredAndDoneAgain"
    if (!stays || request.isAnswered) this.requests.splice(this.requests.indexOf(request), 1)
    const isValid = this.nowMillis() - request.askedAtMillis < validMillis
    if (fate === "failed" || !isValid) return this.refuse(request, isValid ? "failing" : "clockSkew")
    if (fate === "timedOutAndDoneLater") return this.refuse(request, "timedOut")
    let answer = await request.run()
    if (fate === "doneTwice") answer = await request.run()
    if (fate === "unanswered") return this.refuse(request, "timedOut")
    this.answer(request, () => request.succeed(answer))
  }

  private refuse(request: Request, kind: "failing" | "clockSkew" | "timedOut"): void {
    const fault = new BucketFault({ operation: "create", object: request.says, kind, said: "by the test" })
    this.answer(request, () => request.fail(fault))
  }

  private answer(request: Request, tell: () => void): void {
    if (request.isAnswered) return
    request.isAnswered = true
    const held = this.held.get(request.by)
    if (held === undefined) tell()
    else held.push(tell)
  }
}
