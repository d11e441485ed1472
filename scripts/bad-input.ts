/**
 * Sends what no client would send: random bytes as query strings, valid requests that were damaged, random conditions,
 * bodies, methods and paths. Nothing may be answered with a 500, crash the service, or make its memory grow.
 *
 *   npx node scripts/bad-input.ts [--seconds 60] [--connections 8] [--seed N]
 */
import { connect } from "node:net"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { startService } from "../testing/services/Service.ts"
import { rssBytes } from "./bench/support/ProcessFacts.ts"
import { freshSeed, makeRandom, type Random } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    connections: { type: "string", default: "8" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const megabytes = (bytes: number) => Math.round(bytes / 1e6)

/** Answers that take longer than this are none. */
const answerMillis = 10_000
/** What the memory of a service that answers errors may differ by, in the last two thirds of the time. */
const allowedGrowthBytes = 40e6

const bytes = (random: Random, most: number): Buffer =>
  Buffer.from(Array.from({ length: random.int(0, most) }, () => random.int(0, 255)))

const encoded = (raw: Buffer): string =>
  Array.from(raw, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")

const valid = (handle: string): ReadonlyArray<string> => [
  "table=items&offset=-1",
  "table=items&offset=now&log=changes_only",
  `table=items&handle=${handle}&offset=0_0`,
  `table=items&handle=${handle}&offset=0_inf&live=true&cursor=1`,
  `table=items&handle=${handle}&offset=0_inf&live=true&live_sse=true`,
  "table=items&offset=-1&where=id%20%3E%20%241%20AND%20v%20LIKE%20%27a%25%27&params[1]=3&replica=full&columns=id,v",
  "table=items&offset=-1&where=v%20%3D%20ANY(%241)&params[1]=%7Ba,b%7D",
  `table=items&handle=${handle}&offset=0_0&subset__where=id%20%3C%205&subset__limit=2&subset__order_by=id`,
  "table=%22Odd%20Name%22&offset=-1"
]

const words =
  "id v m t ( ) , = <> < > AND OR NOT IN IS NULL LIKE ~ BETWEEN CASE WHEN THEN END ANY ALL ARRAY [ ] :: int text jsonb -> ->> 'a' '{}' 1 -1 1e400 0 $1 $2 + - * / % || date now() lower( abs( interval '1 day' /* */ -- ; SELECT FROM items EXISTS".split(
    " "
  )

/** Changes a few places of a text: other bytes, pieces left out, said twice or mixed up. */
const damaged = (random: Random, text: string): Buffer => {
  let raw = Buffer.from(text, "latin1")
  for (let n = random.int(1, 4); n > 0; n--) {
    const at = random.int(0, raw.length)
    const to = Math.min(raw.length, at + random.int(0, 12))
    const piece = random.pick([
      bytes(random, 4),
      raw.subarray(at, to),
      Buffer.alloc(0),
      Buffer.from(random.pick(["&", "=", "%", "%zz", "[", "]", "%00", "%ff", "_", "+", "\u0000", "é"]))
    ])
    raw = Buffer.concat([raw.subarray(0, at), piece, piece, raw.subarray(random.chance(0.5) ? at : to)])
  }
  return raw
}

const json = (random: Random, depth = 0): unknown => {
  const kind = random.int(0, depth > 4 ? 4 : 6)
  if (kind === 0) return null
  if (kind === 1) return random.int(-1e9, 1e9)
  if (kind === 2) return random.pick(["items", "id", "-1", "0_0", "id = 1", "", "__proto__", "full"])
  if (kind === 3) return bytes(random, 12).toString("latin1")
  if (kind === 4) return random.chance(0.5)
  if (kind === 5) return Array.from({ length: random.int(0, 4) }, () => json(random, depth + 1))
  const names = [
    "table",
    "offset",
    "where",
    "params",
    "columns",
    "subset",
    "limit",
    "order_by",
    "__proto__",
    "constructor",
    "1"
  ]
  return Object.fromEntries(
    Array.from({ length: random.int(0, 5) }, () => [random.pick(names), json(random, depth + 1)])
  )
}

interface Attack {
  readonly kind: string
  readonly request: Buffer
}

const request = (head: string, query: Buffer | string, body: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([
    Buffer.from(head),
    typeof query === "string" ? Buffer.from(query, "latin1") : query,
    Buffer.from(
      ` HTTP/1.1\r\nHost: localhost\r\n${body.length > 0 ? `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n` : ""}\r\n`
    ),
    body
  ])

const attack = (random: Random, handle: string): Attack => {
  const shape = "GET /v1/shape?"
  const kind = random.pick(["bytes", "encoded", "damaged", "damaged", "where", "body", "path"])
  switch (kind) {
    case "bytes":
      return { kind, request: request(shape, bytes(random, 200)) }
    case "encoded": {
      const name = random.pick([
        "",
        "table=",
        "table=items&offset=",
        "table=items&offset=-1&where=",
        "table=items&offset=-1&handle=",
        "table=items&offset=-1&columns="
      ])
      return { kind, request: request(shape, name + encoded(bytes(random, 60))) }
    }
    case "damaged":
      return { kind, request: request(shape, damaged(random, random.pick(valid(handle)))) }
    case "where": {
      const clause = Array.from({ length: random.int(1, 14) }, () => random.pick(words)).join(" ")
      const query = `table=items&offset=-1&where=${encodeURIComponent(clause)}&params[1]=${encoded(bytes(random, 5))}`
      return { kind, request: request(shape, query) }
    }
    case "body": {
      const body = random.chance(0.5) ? bytes(random, 200) : Buffer.from(JSON.stringify(json(random)) ?? "")
      return { kind, request: request("POST /v1/shape?", random.pick([...valid(handle), ""]), body) }
    }
    default: {
      const method = random.pick(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
      const path = random.pick([
        "/",
        "/v1/shape",
        "/v1/health",
        "/v1//shape",
        "/v1/shape/",
        "/v1/%73hape",
        "/..",
        "//"
      ])
      return { kind, request: request(`${method} ${path}`, damaged(random, "?table=items&offset=-1")) }
    }
  }
}

/** The status of the answer; `undefined` when the connection was closed, or nothing came in time. */
const send = (port: number, raw: Buffer): Promise<number | "closed" | "silent"> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" })
    let text = ""
    const end = (result: number | "closed" | "silent") => {
      // A reset, because ports that wait for late packets would run out.
      socket.resetAndDestroy()
      resolve(result)
    }
    socket.setTimeout(answerMillis, () => end("silent"))
    socket.on("error", () => end("closed"))
    socket.on("close", () => end("closed"))
    socket.on("data", (data) => {
      text += data.toString("latin1")
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)
      if (status !== null) end(Number(status[1]))
    })
    socket.on("connect", () => socket.write(raw))
  })

const highest = (samples: ReadonlyArray<number>): number => Math.max(...samples)

const seed = Number(options.seed)
const seconds = Number(options.seconds)
const cluster = await startCluster()
const admin = await connectTo(cluster.url("postgres"))
await admin.query(
  "CREATE TABLE items (id int PRIMARY KEY, v text, m int[], t timestamptz); INSERT INTO items SELECT i, chr(97 + i % 26) FROM generate_series(1, 50) i"
)
const service = await startService({
  env: {
    DATABASE_URL: cluster.url("postgres"),
    ELECTRIC_LONG_POLL_TIMEOUT: "200",
    // Damaged requests make shapes as well; memory is to show leaks, not these.
    ELECTRIC_MAX_SHAPES: "100"
  }
})
say(`Seed ${seed}; the service is process ${service.pid} on port ${service.port}`)

const problems: Array<string> = []
const counts = new Map<string, number>()
try {
  const first = await fetch(`${service.url}/v1/shape?table=items&offset=-1`)
  await first.arrayBuffer()
  const handle = first.headers.get("electric-handle") ?? ""
  const random = makeRandom(seed)
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  let sent = 0
  const attacker = async (choices: Random) => {
    while (elapsed() < seconds && problems.length < 5) {
      const { kind, request: raw } = attack(choices, handle)
      const answer = await send(service.port, raw)
      sent++
      const key = `${kind} ${answer}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
      const isRaw = kind === "bytes" || kind === "damaged" || kind === "path"
      if (answer === 500 || (answer === "silent" && !isRaw))
        problems.push(`${answer} after ${JSON.stringify(raw.toString("latin1"))}`)
    }
  }
  const attackers = Array.from({ length: Number(options.connections) }, () => attacker(random.fork()))
  const samples: Array<number> = []
  const sampler = setInterval(() => {
    samples.push(rssBytes(service.pid))
    if (samples.length % 10 === 0)
      say(`${Math.round(elapsed())} s: ${sent} requests, ${megabytes(samples.at(-1) ?? 0)} MB`)
  }, 1000)
  await Promise.all(attackers)
  clearInterval(sampler)
  const third = Math.max(1, Math.floor(samples.length / 3))
  const growth = highest(samples.slice(2 * third)) - highest(samples.slice(third, 2 * third))
  say(
    `${sent} requests; memory at most ${megabytes(highest(samples))} MB, ${megabytes(growth)} MB more in the last third than before`
  )
  if (growth > allowedGrowthBytes) problems.push(`memory grew by ${megabytes(growth)} MB`)
  const after = await fetch(`${service.url}/v1/shape?table=items&offset=-1`)
  if (after.status !== 200) problems.push(`a good request is answered with ${after.status} afterwards`)
  for (const line of service.logs().split("\n"))
    if (/ error |bug in Baton/.test(line)) problems.push(`log: ${line}`)
} catch (error) {
  problems.push(String(error))
}
for (const [key, count] of [...counts].toSorted()) say(`  ${key}: ${count}`)
const ending = await service.stop()
if (ending.code !== 0) problems.push(`the service ended with ${JSON.stringify(ending)}`)
await service.dispose()
await admin.end()
await cluster.destroy()
for (const problem of problems.slice(0, 20)) say(`PROBLEM ${problem}`)
say(problems.length > 0 ? `FAILED with seed ${seed}` : "PASSED: no 500, no crash, no growth")
process.exit(problems.length > 0 ? 1 : 0)
