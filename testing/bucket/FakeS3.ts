import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Redacted } from "effect"
import type { S3Place } from "../../src/config/BucketConfig.ts"
import { BucketFaults } from "./BucketFaults.ts"
import { BucketObjects } from "./BucketObjects.ts"
import { checkSignature, type SignatureProblem } from "./CheckSignature.ts"
import { RequestCounter } from "./RequestCounter.ts"
import { answerWithFaults, readS3Request, refuse, type Reply, type S3Request, xmlText } from "./S3Requests.ts"

export interface FakeS3Options {
  readonly bucket?: string
  readonly region?: string
  readonly port?: number
  /** Access keys, so that faults can meet one client; the secret of each is `secret of <key>`. */
  readonly clients?: ReadonlyArray<string>
  /** Keys in a page of a listing at most. */
  readonly pageKeys?: number
  /** The store's clock, milliseconds since 1970. */
  readonly nowMillis?: () => number
}

export interface FakeS3 {
  readonly endpoint: string
  readonly objects: BucketObjects
  readonly faults: BucketFaults
  readonly counter: RequestCounter
  /** Requests that were made over a connection that had carried one before. */
  readonly reused: () => number
  /** Where a client finds it. */
  readonly place: (prefix?: string, client?: string) => S3Place
  /** The same as variables. */
  readonly environment: (prefix?: string, client?: string) => Readonly<Record<string, string>>
  readonly close: () => Promise<void>
}

const secretOf = (client: string): string => `secret of ${client}`

const noSuchKey: SignatureProblem = {
  status: 404,
  code: "NoSuchKey",
  message: "The specified key does not exist."
}

/** One bucket of a server that speaks as much of the S3 API as Baton uses, with faults that a test turns on. */
class Server {
  readonly objects: BucketObjects
  readonly faults = new BucketFaults()
  readonly counter = new RequestCounter()
  private readonly options: FakeS3Options
  readonly bucket: string
  readonly region: string
  readonly clients: ReadonlyArray<string>
  private readonly nowMillis: () => number

  constructor(options: FakeS3Options) {
    this.options = options
    this.bucket = options.bucket ?? "bucket"
    this.region = options.region ?? "us-east-1"
    this.clients = options.clients ?? ["client"]
    this.nowMillis = options.nowMillis ?? (() => Date.now())
    this.objects = new BucketObjects(this.nowMillis)
  }

  async answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await readS3Request(message, this.bucket)
    this.counter.count(request.operation, request.body.length)
    await answerWithFaults(this.faults, request, response, (condition) => this.do(request, condition))
  }

  private do(request: S3Request, condition: "ifAbsent" | "always"): Reply {
    const secrets = new Map(this.clients.map((client) => [client, secretOf(client)]))
    const problem = checkSignature(request.message, request.url, request.body, {
      region: this.region,
      secrets,
      nowMillis: this.nowMillis
    })
    if (problem !== undefined) return refuse(problem)
    if (!`${decodeURIComponent(request.url.pathname)}/`.startsWith(`/${this.bucket}/`)) {
      return refuse({ status: 404, code: "NoSuchBucket", message: "The specified bucket does not exist" })
    }
    switch (request.operation) {
      case "create":
        return this.create(request, condition)
      case "read":
        return this.get(request)
      case "list":
        return this.list(request)
      case "remove":
        this.objects.remove(request.key)
        return (response) => response.writeHead(204).end()
      case "probe":
        return refuse({ status: 405, code: "MethodNotAllowed", message: "Not allowed." })
    }
  }

  private create({ body, key, message }: S3Request, condition: "ifAbsent" | "always"): Reply {
    const isConditional = condition === "ifAbsent" && message.headers["if-none-match"] === "*"
    const outcome = this.objects.create(key, body, isConditional ? "ifAbsent" : "always")
    return outcome === "created"
      ? (response) => response.writeHead(200, { etag: '"of this"' }).end()
      : refuse({ status: 412, code: "PreconditionFailed", message: "A precondition did not hold." })
  }

  private get({ key, message }: S3Request): Reply {
    const bytes = this.objects.get(key)
    if (bytes === undefined) return refuse(noSuchKey)
    const found = /^bytes=(\d+)-(\d+)$/.exec(message.headers.range ?? "")
    if (found === null) {
      this.counter.read.bytes += bytes.length
      return (response) => response.writeHead(200).end(bytes)
    }
    const [from, last] = [Number(found[1]), Number(found[2])]
    if (from >= bytes.length) return refuse({ status: 416, code: "InvalidRange", message: "Not satisfiable" })
    const part = bytes.subarray(from, last + 1)
    this.counter.read.bytes += part.length
    return (response) => response.writeHead(206).end(part)
  }

  private list({ url }: S3Request): Reply {
    const most = Math.min(Number(url.searchParams.get("max-keys") ?? 1000), this.options.pageKeys ?? 1000)
    const all = this.objects.list(
      url.searchParams.get("prefix") ?? "",
      url.searchParams.get("start-after") ?? undefined
    )
    const contents = all
      .slice(0, most)
      .map(
        ({ bytes, key, modifiedMillis }) =>
          `<Contents><Key>${xmlText(key)}</Key><LastModified>${new Date(modifiedMillis).toISOString()}</LastModified>` +
          `<ETag>&quot;x&quot;</ETag><Size>${bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`
      )
    const document =
      `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` +
      `<Name>${this.bucket}</Name><KeyCount>${contents.length}</KeyCount><MaxKeys>${most}</MaxKeys>` +
      `<IsTruncated>${all.length > most}</IsTruncated>${contents.join("")}</ListBucketResult>`
    return (response) => response.writeHead(200, { "content-type": "application/xml" }).end(document)
  }
}

/** Starts one on this machine, on a free port unless one is named. */
export const startFakeS3 = async (options: FakeS3Options = {}): Promise<FakeS3> => {
  const fake = new Server(options)
  const sockets = new WeakSet<object>()
  let reused = 0
  const server = createServer((message, response) => {
    if (sockets.has(message.socket)) reused++
    sockets.add(message.socket)
    fake.answer(message, response).catch(() => response.destroy())
  })
  server.listen(options.port ?? 0, "127.0.0.1")
  await once(server, "listening")
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const someClient = fake.clients[0] ?? ""
  return {
    endpoint,
    objects: fake.objects,
    faults: fake.faults,
    counter: fake.counter,
    reused: () => reused,
    place: (prefix = "", client = someClient) => ({
      _tag: "S3",
      bucket: fake.bucket,
      prefix,
      endpoint,
      region: fake.region,
      pathStyle: true,
      keys: {
        accessKeyId: client,
        secretAccessKey: Redacted.make(secretOf(client)),
        sessionToken: undefined
      }
    }),
    environment: (prefix = "", client = someClient) => ({
      BATON_BUCKET: `s3://${fake.bucket}/${prefix}`,
      BATON_BUCKET_ENDPOINT: endpoint,
      BATON_BUCKET_REGION: fake.region,
      AWS_ACCESS_KEY_ID: client,
      AWS_SECRET_ACCESS_KEY: secretOf(client)
    }),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
