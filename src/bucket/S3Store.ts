import { createHash } from "node:crypto"
import { AwsV4Signer } from "aws4fetch"
import type { S3Place } from "../config/BucketConfig.ts"
import type { Timers } from "../shared/Timers.ts"
import { BucketFault, type BucketOperation } from "./BucketFault.ts"
import { type HttpAnswer, HttpConnections, type HttpRequest } from "./HttpConnections.ts"
import { compareKeys } from "./KeyPath.ts"
import type { KeySource } from "./KeySource.ts"
import { networkFault } from "./NetworkFault.ts"
import type { ByteRange, ObjectInfo, ObjectStore } from "./ObjectStore.ts"
import { RequestPatience } from "./RequestPatience.ts"
import { isConditionNotHeld, kindOfRefusal, readListPage, readRefusal, refusalText } from "./S3Answers.ts"
import { bucketBase, listUrl, objectUrl, prefixOf } from "./S3Url.ts"

interface S3Options {
  readonly place: S3Place
  /** Keys are below it, without slashes at its ends. */
  readonly folder: string
  readonly keys: KeySource
  readonly timers: Timers
  /** An answer that does not begin or go on for so long is given up. What is sent has longer by its size. */
  readonly silenceMillis?: number
}

const standardSilenceMillis = 10_000

/** What a slow line carries: a request may take that much longer. */
const bytesPerMilli = 1000

/** Keys in a page of a listing: the most that all stores give. */
const pageKeys = 1000

/** Removals at once. The request that removes many is not the same for all stores: some want MD5, others other sums. */
const removalsAtOnce = 16

/** After so many bytes others have their turn: their sum takes a millisecond or less. */
const hashedAtOnce = 1_048_576

interface Asked extends HttpRequest {
  readonly operation: BucketOperation
  /** How messages call it. */
  readonly object: string
}

const closed = "the connection to the bucket has been closed"

const othersTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const sha256 = async (content: ReadonlyArray<Uint8Array>): Promise<string> => {
  const hash = createHash("sha256")
  let hashed = 0
  for (const piece of content)
    for (let at = 0; at < piece.length; at += hashedAtOnce) {
      const part = piece.subarray(at, at + hashedAtOnce)
      if (hashed + part.length > hashedAtOnce) await othersTurn()
      hashed = hashed + part.length > hashedAtOnce ? part.length : hashed + part.length
      hash.update(part)
    }
  return hash.digest("hex")
}

/**
 * Objects below a prefix of a bucket, through the S3 API. Requests are signed with the sum of what they carry: a store refuses
 * content that has changed on the way, whatever stands between. Connections are kept and used again.
 */
export class S3Store implements ObjectStore {
  readonly name: string
  private readonly base: string
  private readonly prefix: string
  private readonly silenceMillis: number
  private readonly options: S3Options
  /** Keys derived for a day. */
  private readonly derived = new Map<string, ArrayBuffer>()
  private readonly underWay = new Set<RequestPatience>()
  private readonly connections: HttpConnections
  private isClosed = false

  constructor(options: S3Options) {
    this.options = options
    this.connections = new HttpConnections(options.timers)
    this.base = bucketBase(options.place)
    this.prefix = prefixOf(options.place, options.folder)
    this.name = `s3://${options.place.bucket}/${this.prefix}`.replace(/\/$/, "")
    this.silenceMillis = options.silenceMillis ?? standardSilenceMillis
  }

  async create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    const asked = { ...this.asked("create", "PUT", key, { "if-none-match": "*" }), body: content }
    const answer = await this.ask(asked)
    if (answer.status === 200 || answer.status === 201) return "created"
    const refusal = readRefusal(answer.status, answer.body.toString())
    if (isConditionNotHeld(refusal)) return "exists"
    throw this.refused(asked, answer)
  }

  async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    const asked = this.asked(
      "read",
      "GET",
      key,
      range === undefined ? {} : { range: `bytes=${range.from}-${range.to - 1}` }
    )
    const answer = await this.ask(asked)
    if (answer.status === 200)
      return range === undefined ? answer.body : answer.body.subarray(range.from, range.to)
    if (answer.status === 206 && range !== undefined) return answer.body
    if (answer.status === 416 && range !== undefined) return Buffer.alloc(0)
    // A bare 404 is also what a wrong address says: only the store knows that there is no such key.
    if (answer.status === 404 && readRefusal(404, answer.body.toString()).code === "NoSuchKey")
      return undefined
    throw this.refused(asked, answer)
  }

  async *list(prefix: string, after?: string): AsyncGenerator<ObjectInfo, void> {
    const from = this.prefix + prefix
    let last = after === undefined ? undefined : this.prefix + after
    for (;;) {
      const asked: Asked = {
        operation: "list",
        method: "GET",
        object: `${this.name}/${prefix}`,
        url: listUrl(this.base, from, last, pageKeys),
        headers: {},
        body: []
      }
      const answer = await this.ask(asked)
      if (answer.status !== 200) throw this.refused(asked, answer)
      const page = readListPage(answer.body.toString())
      if (page === undefined)
        throw this.fault(asked, "refused", "what is answered is no listing of the S3 API")
      for (const info of page.objects) {
        if (!info.key.startsWith(from) || (last !== undefined && compareKeys(info.key, last) <= 0)) {
          throw this.fault(
            asked,
            "refused",
            "the listing is not in the order of keys, or not of those asked for"
          )
        }
        last = info.key
        yield { ...info, key: info.key.slice(this.prefix.length) }
      }
      if (!page.isTruncated) return
      if (page.objects.length === 0) throw this.fault(asked, "refused", "a page of the listing is empty")
    }
  }

  async remove(keys: ReadonlyArray<string>): Promise<void> {
    for (let at = 0; at < keys.length; at += removalsAtOnce) {
      const together = keys.slice(at, at + removalsAtOnce).map((key) => this.removeOne(key))
      await Promise.all(together)
    }
  }

  close(): Promise<void> {
    this.isClosed = true
    for (const patience of this.underWay) patience.abort(new Error(closed))
    this.connections.close()
    return Promise.resolve()
  }

  private async removeOne(key: string): Promise<void> {
    const asked = this.asked("remove", "DELETE", key)
    const answer = await this.ask(asked)
    if (answer.status === 200 || answer.status === 204) return
    if (answer.status === 404 && readRefusal(404, answer.body.toString()).code === "NoSuchKey") return
    throw this.refused(asked, answer)
  }

  private asked(
    operation: BucketOperation,
    method: Asked["method"],
    key: string,
    headers: Readonly<Record<string, string>> = {}
  ): Asked {
    const url = objectUrl(this.base, this.prefix + key)
    return { operation, method, object: `${this.name}/${key}`, url, headers, body: [] }
  }

  private fault(asked: Asked, kind: BucketFault["kind"], said: string, cause?: unknown): BucketFault {
    return new BucketFault({ operation: asked.operation, object: asked.object, kind, said, cause })
  }

  private refused(asked: Asked, { body, status }: HttpAnswer): BucketFault {
    const refusal = readRefusal(status, body.toString())
    return this.fault(asked, kindOfRefusal(asked.operation, refusal), refusalText(refusal))
  }

  /** The headers of a request, with its signature. */
  private async signed({ body, headers, method, url }: Asked): Promise<Readonly<Record<string, string>>> {
    const { keys, place, timers } = this.options
    const [lent, sum] = await Promise.all([keys(), sha256(body)])
    // One for each day and key.
    if (this.derived.size > 8) this.derived.clear()
    const signer = new AwsV4Signer({
      method,
      url,
      headers: { ...headers, "x-amz-content-sha256": sum },
      service: "s3",
      region: place.region,
      cache: this.derived,
      datetime: new Date(timers.epochMillis()).toISOString().replaceAll(/[:-]|\.\d{3}/g, ""),
      ...lent
    })
    return Object.fromEntries((await signer.sign()).headers)
  }

  /** One request and its whole answer, whatever its status. Fails with a fault when there is none. */
  private async ask(asked: Asked): Promise<HttpAnswer> {
    if (this.isClosed) throw this.fault(asked, "unreachable", closed)
    const bytes = asked.body.reduce((sum, piece) => sum + piece.length, 0)
    const millis = this.silenceMillis + bytes / bytesPerMilli
    const patience = new RequestPatience(this.options.timers, millis, this.silenceMillis)
    this.underWay.add(patience)
    try {
      const headers = await this.signed(asked)
      return await this.connections.send({ ...asked, headers }, patience)
    } catch (error) {
      if (error instanceof BucketFault) throw this.fault(asked, error.kind, error.said, error.cause)
      if (patience.isOver) {
        const seconds = Math.round(patience.millis / 100) / 10
        throw this.fault(asked, "timedOut", `nothing was heard for ${seconds} s`, error)
      }
      const { kind, said } = networkFault(error)
      throw this.fault(asked, kind, said, error)
    } finally {
      this.underWay.delete(patience)
      patience.end()
    }
  }
}
