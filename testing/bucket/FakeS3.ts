import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { Redacted } from "effect"
import type { BucketFaultKind, BucketOperation } from "../../src/bucket/BucketFault.ts"
import type { S3Place } from "../../src/config/BucketConfig.ts"
import { BucketFaults, type MetFault } from "./BucketFaults.ts"
import { BucketObjects } from "./BucketObjects.ts"
import { checkSignature, type SignatureProblem } from "./CheckSignature.ts"
import { RequestCounter } from "./RequestCounter.ts"

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

/** What S3 answers for a kind of fault. */
const refusals: Readonly<Record<BucketFaultKind, SignatureProblem | undefined>> = {
  unreachable: undefined,
  timedOut: { status: 400, code: "RequestTimeout", message: "Your socket connection was idle." },
  throttled: { status: 503, code: "SlowDown", message: "Please reduce your request rate." },
  failing: { status: 500, code: "InternalError", message: "We encountered an internal error." },
  wrongKey: { status: 403, code: "InvalidAccessKeyId", message: "The key does not exist in our records." },
  wrongRegion: { status: 301, code: "PermanentRedirect", message: "Use another endpoint." },
  clockSkew: { status: 403, code: "RequestTimeTooSkewed", message: "The difference is too large." },
  noBucket: { status: 404, code: "NoSuchBucket", message: "The specified bucket does not exist." },
  denied: { status: 403, code: "AccessDenied", message: "Access Denied." },
  unsafe: {
    status: 501,
    code: "NotImplemented",
    message: "A header you provided implies functionality that is not implemented."
  },
  refused: { status: 400, code: "InvalidRequest", message: "Invalid Request." }
}

const conditionalConflict: SignatureProblem = {
  status: 409,
  code: "ConditionalRequestConflict",
  message: "A conflicting operation occurred."
}

const noSuchKey: SignatureProblem = {
  status: 404,
  code: "NoSuchKey",
  message: "The specified key does not exist."
}

const xmlText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const operations: Readonly<Record<string, BucketOperation>> = { PUT: "create", GET: "read", DELETE: "remove" }

interface Request {
  readonly message: IncomingMessage
  readonly url: URL
  readonly operation: BucketOperation
  readonly key: string
  readonly body: Buffer
}

type Reply = (response: ServerResponse) => unknown

const refuse =
  ({ code, message, status }: SignatureProblem): Reply =>
  (response) => {
    response.writeHead(status, { "content-type": "application/xml" })
    response.end(
      `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${xmlText(message)}</Message></Error>`
    )
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
    const pieces: Array<Buffer> = []
    for await (const piece of message) pieces.push(piece as Buffer)
    const request = this.read(message, Buffer.concat(pieces))
    this.counter.count(request.operation, request.body.length)
    const met = this.faults.meet({ ...request, client: this.clientOf(message) })
    if (met === undefined) this.do(request)(response)
    else await this.suffer(met, request, response)
  }

  private clientOf(message: IncomingMessage): string {
    return /Credential=([^/]+)/.exec(message.headers.authorization ?? "")?.[1] ?? ""
  }

  private read(message: IncomingMessage, body: Buffer): Request {
    const url = new URL(message.url ?? "/", `http://${message.headers.host}`)
    const path = decodeURIComponent(url.pathname)
    const key = path.startsWith(`/${this.bucket}/`) ? path.slice(this.bucket.length + 2) : ""
    const isList = message.method === "GET" && url.searchParams.has("list-type")
    const operation = isList ? "list" : (operations[message.method ?? ""] ?? "probe")
    return { message, url, body, operation, key: isList ? (url.searchParams.get("prefix") ?? "") : key }
  }

  private async suffer(
    { atEnd, fate, later }: MetFault,
    request: Request,
    response: ServerResponse
  ): Promise<void> {
    const cut = () => response.destroy()
    switch (fate._tag) {
      case "Delay":
        await sleep(fate.millis)
        return void this.do(request)(response)
      case "Hang":
        return atEnd(cut)
      case "Refuse": {
        const refusal = refusals[fate.kind]
        return void (refusal === undefined ? cut() : refuse(refusal)(response))
      }
      case "Conflict":
        return void refuse(conditionalConflict)(response)
      case "Unanswered":
        this.do(request)
        return void cut()
      case "Late":
        later(() => void this.do(request))
        return void cut()
      case "Doubled":
        later(() => void this.do(request))
        return void this.do(request)(response)
      case "Unconditional":
        return void this.do(request, "always")(response)
    }
  }

  private do(request: Request, condition: "ifAbsent" | "always" = "ifAbsent"): Reply {
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

  private create({ body, key, message }: Request, condition: "ifAbsent" | "always"): Reply {
    const isConditional = condition === "ifAbsent" && message.headers["if-none-match"] === "*"
    const outcome = this.objects.create(key, body, isConditional ? "ifAbsent" : "always")
    return outcome === "created"
      ? (response) => response.writeHead(200, { etag: '"of this"' }).end()
      : refuse({ status: 412, code: "PreconditionFailed", message: "A precondition did not hold." })
  }

  private get({ key, message }: Request): Reply {
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

  private list({ url }: Request): Reply {
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
