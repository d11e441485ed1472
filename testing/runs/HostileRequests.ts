import type { Random } from "../Random.ts"

/** What goes over one connection, and which answers are right. */
export interface HostileRequest {
  /** Kind of attack, for the report. */
  readonly kind: string
  /** Bytes to send; several pieces are sent one after the other. */
  readonly bytes: ReadonlyArray<Buffer>
  /** Statuses that are right. `"none"`: the connection may end without an answer. */
  readonly right: (status: number | "none") => boolean
  /** The client leaves without waiting for an answer. */
  readonly leaves?: boolean
}

/** What attackers know and do not know of the service. */
export interface HostileTarget {
  /** A table with the columns `id int PRIMARY KEY, t text`. */
  readonly table: string
  readonly secret: string
}

/** No attacker may ever get this as a header of its own. */
export const evilHeader = "x-evil"

const clientError = (status: number | "none") => status !== "none" && status >= 400 && status < 500
const errorOrCut = (status: number | "none") => status === "none" || clientError(status)
const is =
  (...statuses: ReadonlyArray<number>) =>
  (status: number | "none") =>
    status !== "none" && statuses.includes(status)

const head = (method: string, target: string, headers: ReadonlyArray<string> = []) =>
  Buffer.from(
    `${[`${method} ${target} HTTP/1.1`, "host: localhost", "connection: close", ...headers].join("\r\n")}\r\n\r\n`,
    "latin1"
  )

const withBody = (target: string, body: Buffer | string): ReadonlyArray<Buffer> => {
  const bytes = Buffer.from(body)
  return [head("POST", target, [`content-length: ${bytes.length}`, "content-type: application/json"]), bytes]
}

const repeated = (text: string, times: number) => text.repeat(times)

const randomBytes = (random: Random, length: number) =>
  Buffer.from(Uint8Array.from({ length }, () => random.int(0, 255)))

type Make = (random: Random, target: HostileTarget) => Omit<HostileRequest, "kind">

const authorised = ({ table, secret }: HostileTarget) => `/v1/shape?table=${table}&secret=${secret}`

/** JSON that is none of what the parameter wants. */
const wrongValues = [
  "5",
  "[]",
  "[1]",
  "{}",
  '{"a":[]}',
  "true",
  '"x"',
  "1e400",
  "-0.5",
  '[["a"]]',
  '{"1":{"2":3}}'
]

const wrongTypes: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
  ["where", ["5", "[]", "{}", "true", "1e400", '"nonsense("', '"id"', '"t + 1"']],
  ["params", ["5", "true", '"x"', "[1]", '{"a":"b"}', '{"1":{"2":3}}', '{"2":"x"}']],
  ["limit", ['"x"', "0", "-1", "{}", "[]", "true", "1.5", "1e400"]],
  ["offset", ['"x"', "-1", "{}", "[]", "true", "1.5"]],
  ["order_by", ["5", "{}", "[]", "true", '"nothing"', '"id; DROP TABLE x"', '"pg_sleep(9)"', '"(SELECT 1)"']],
  ["subset", wrongValues.filter((value) => !value.startsWith("{"))],
  ["columns", ["5", "{}", "true", '[""]', '["nothing"]', '[{"a":1}]']],
  ["table", ["5", "{}", "[]", "true", '"a.b.c"', '"no such table"']],
  ["handle", ["5", "{}", "[]", "true"]],
  ["replica", wrongValues],
  ["log", wrongValues],
  ["queryable_columns", ["5", "{}", "true", '["nothing"]']]
]

/** Spellings of the route that must not get past the question for the secret. */
const disguises = [
  "/v1/shape",
  "//v1/shape",
  "/v1//shape/",
  "/v1/%73hape",
  "/%76%31/shape",
  "/v1%2Fshape",
  "/v1/./shape",
  "/v1/../v1/shape",
  "/v1/health/../shape",
  "/v1/shape/..%2fshape",
  "/V1/Shape",
  "/v1/shape%00",
  "/v1/shape;x=1",
  "/v1/shape%3F",
  "/v1\\shape",
  "/v1/shape%20",
  "http://localhost/v1/shape",
  "http://localhost//v1/shape",
  "http://localhost:1/v1/%73hape",
  "/v1/sha%70e/"
]

/** Ways to say a secret that do not count, or that are wrong. */
const wrongSecrets = [
  "",
  "secret",
  "secret=",
  "secret=wrong",
  "secret[]=SECRET",
  "secret[0]=SECRET",
  "secret=SECRET&secret=wrong",
  "secret=&api_secret=SECRET",
  "api_secret=wrong",
  "Secret=SECRET",
  "secret=SECRET%00",
  "secret=SECRET%20",
  "%00secret=SECRET",
  "secret=%EF%BC%B3",
  "__proto__[secret]=SECRET",
  "constructor[prototype][secret]=SECRET"
]

const injections = [
  "id = 1; DROP TABLE TABLE",
  "id = 1) OR pg_sleep(20) IS NULL --",
  "pg_sleep(20) IS NULL",
  "id = (SELECT pg_sleep(20))",
  "1 = 1 UNION SELECT 1",
  "id IN (SELECT id FROM pg_authid)",
  "t = current_setting('data_directory')",
  "pg_read_file('/etc/passwd') IS NOT NULL",
  "t = lo_import('/etc/passwd')::text",
  "id = 1 /* ",
  "t = $tag$",
  "t = U&'\\0000'",
  "id = 1 LIMIT 1",
  "id = 1 FOR UPDATE",
  "\u0000",
  "query_to_xml('select 1', true, true, '') IS NOT NULL"
]

const newlines = ["%0d%0a", "%0a", "%0D%0A%20", "%E5%98%8A%E5%98%8D", "%c4%8d%c4%8a", "%00%0d%0a"]

const makers: Readonly<Record<string, Make>> = {
  "body of the wrong type": (random, target) => {
    const [name, values] = random.pick(wrongTypes)
    const others = random.chance(0.3) ? `,"unknown":${random.pick(wrongValues)}` : ""
    const isLimited = name === "limit" || name === "offset"
    // How parameters are numbered only counts where there is a condition.
    const beside = isLimited ? ',"order_by":"id"' : name === "params" ? ',"where":"id > 0"' : ""
    const body = `{"${name}":${random.pick(values)}${others}${beside}}`
    // A handle has no meaning at the beginning; anywhere else it is looked for.
    const position = name === "handle" ? "&offset=0_0" : "&offset=-1"
    return { bytes: withBody(`${authorised(target)}${position}`, body), right: clientError }
  },
  "body that is no JSON object": (random, target) => {
    const body = random.pick<() => Buffer>([
      () =>
        Buffer.from(
          random.pick(["[]", "1", '"x"', "null", "true", "{", '{"where":', "{]", "\ufeff{}x", "NaN"])
        ),
      () => Buffer.concat([Buffer.from([random.int(128, 255)]), randomBytes(random, random.int(1, 2000))])
    ])()
    return { bytes: withBody(`${authorised(target)}&offset=-1`, body), right: is(400) }
  },
  "deep JSON": (random, target) => {
    const depth = random.pick([1_000, 100_000, 1_000_000])
    const body = random.pick([
      repeated("[", depth),
      repeated("[", depth) + repeated("]", depth),
      `{"params":${repeated('{"1":', depth)}1${repeated("}", depth)}}`,
      `{"where":"id = 1","params":{"1":${repeated("[", depth)}${repeated("]", depth)}}}`,
      `{"subset":{"where":${repeated('{"where":', depth)}1${repeated("}", depth)}}}`
    ])
    return { bytes: withBody(`${authorised(target)}&offset=-1`, body), right: clientError }
  },
  "deep names": (random, target) => {
    const nested = repeated(random.pick(["[a]", "[]", "[1]", "["]), random.pick([10, 1_000, 3_000]))
    const name = random.pick(["params", "table", "columns", "subset", "where"])
    return {
      bytes: [
        head("GET", `/v1/shape?secret=${target.secret}&table=${target.table}&offset=x&${name}${nested}=1`)
      ],
      right: clientError
    }
  },
  "deep condition": (random, target) => {
    const depth = random.pick([200, 1_500])
    const where = random.pick([
      `${repeated("(", depth)}id = 1${repeated(")", depth)}`.concat(" AND nothing = 1"),
      `${repeated("NOT ", depth)}nothing`,
      `${repeated("id = 1 OR ", depth)}nothing = 1`,
      `id = ${repeated("-", depth)}`
    ])
    return {
      bytes: withBody(`${authorised(target)}&offset=-1`, JSON.stringify({ where })),
      right: clientError
    }
  },
  "huge condition": (random, target) => {
    const times = random.pick([5_000, 100_000, 500_000])
    const where = random.pick([
      `${repeated("id = 1 OR ", times)}nothing = 1`,
      `nothing IN (${repeated("1,", times)}1)`,
      `nothing = '${repeated("x", times)}'`,
      repeated("(", times),
      `${repeated('"', times)}x`
    ])
    const body = random.chance(0.5) ? { where } : { subset: {}, where }
    return { bytes: withBody(`${authorised(target)}&offset=-1`, JSON.stringify(body)), right: clientError }
  },
  "megabytes of query": (random, { table, secret }) => {
    const piece = Buffer.alloc(65_536, random.pick(["a", "%41", "&a=b", "[x]", "&"]))
    const first = Buffer.from(`GET /v1/shape?secret=${secret}&table=${table}&offset=-1&where=`)
    const count = random.pick([1, 16, 160])
    return {
      bytes: [
        first,
        ...Array.from({ length: count }, () => piece),
        Buffer.from(" HTTP/1.1\r\nhost: x\r\n\r\n")
      ],
      right: errorOrCut
    }
  },
  "megabytes of headers": (random, target) => {
    const name = random.pick(["cookie", "x-request-id", "if-none-match", "authorization", "x"])
    const many = random.chance(0.5)
    const headers = many
      ? Array.from({ length: 5_000 }, (_, i) => `${name}${i}: ${i}`)
      : [`${name}: ${repeated("a", random.pick([11_000, 200_000]))}`]
    return { bytes: [head("GET", `${authorised(target)}&offset=-1`, headers)], right: errorOrCut }
  },
  "megabytes of body": (random, target) => {
    const body = Buffer.alloc(random.pick([8_000_001, 10_000_000]), random.pick([" ", '"', "[", "a"]))
    return { bytes: withBody(`${authorised(target)}&offset=-1`, body), right: is(413) }
  },
  "way around the secret": (random, { table, secret }) => {
    const said = random.pick(wrongSecrets).replaceAll("SECRET", secret)
    const query = `table=${table}&offset=-1&${said}`
    const path = random.pick(disguises)
    const method = random.pick(["GET", "GET", "HEAD", "POST", "DELETE", "PUT", "get", "PROPFIND"])
    const headers = random.pick<ReadonlyArray<string>>([
      [],
      [`authorization: Bearer ${secret}`],
      [`secret: ${secret}`],
      [`x-original-url: /v1/health`, `x-rewrite-url: /v1/health`],
      ["x-http-method-override: OPTIONS"],
      ["connection: upgrade", "upgrade: h2c"]
    ])
    const body = `{"secret":${JSON.stringify(secret)}}`
    const bytes =
      method === "POST"
        ? [
            head(method, `${path}?${query}`, [...headers, `content-length: ${body.length}`]),
            Buffer.from(body)
          ]
        : [head(method, `${path}?${query}`, headers)]
    return { bytes, right: errorOrCut }
  },
  "SQL in parameters": (random, target) => {
    const sql = random.pick(injections).replaceAll("TABLE", target.table)
    const text = encodeURIComponent(sql)
    const query = random.pick([
      `table=${target.table}&where=${text}`,
      `table=${encodeURIComponent(`${target.table}"; ${sql}`)}`,
      `table=${target.table}&columns=${encodeURIComponent(`id,${sql}`)}`,
      `table=${target.table}&subset__where=${text}`,
      `table=${target.table}&subset__limit=1&subset__order_by=${text}`,
      `table=${target.table}&subset__order_by=id&subset__limit=${text}`
    ])
    return {
      bytes: [head("GET", `/v1/shape?secret=${target.secret}&offset=-1&${query}`)],
      right: clientError
    }
  },
  "header injection": (random, target) => {
    const value = `x${random.pick(newlines)}${evilHeader}:%201`
    const place = random.pick(["handle", "cursor", "expired_handle", "cache-buster", "table"])
    // Every one of these names a shape that is not there, or none.
    const handle = place === "handle" ? value : "1-1"
    const query = `offset=0_0&handle=${handle}${place === "handle" ? "" : `&${place}=${value}`}`
    const headers = random.pick<ReadonlyArray<string>>([
      [],
      [`origin: http://a.example`, `x-request-id: ${repeated("r", 30)}${value}`],
      [`if-none-match: "${value}"`],
      [`x-request-id: ${repeated("r", 30)}\r${evilHeader}: 1`]
    ])
    return { bytes: [head("GET", `${authorised(target)}&${query}`, headers)], right: errorOrCut }
  },
  "no HTTP": (random) => ({
    bytes: [
      random.pick<() => Buffer>([
        () => randomBytes(random, random.int(1, 5_000)),
        () => Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1"),
        () => Buffer.from("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "latin1"),
        () => Buffer.from("GET /v1/shape\r\n\r\n"),
        () => Buffer.from("GET  /v1/shape HTTP/9.9\r\n\r\n"),
        () => head("POST", "/v1/shape", ["content-length: 5", "transfer-encoding: chunked"]),
        () => head("POST", "/v1/shape", ["content-length: 5", "content-length: 6"]),
        () => head("POST", "/v1/shape", ["content-length: -1"]),
        () =>
          Buffer.concat([head("POST", "/v1/shape", ["transfer-encoding: chunked"]), Buffer.from("zz\r\n")])
      ])()
    ],
    right: errorOrCut
  }),
  "leaves in the middle": (random, target) => ({
    bytes: [
      random.pick<() => Buffer>([
        () => head("GET", `${authorised(target)}&offset=-1`),
        () => head("POST", `${authorised(target)}&offset=-1`, ["content-length: 1000000"]),
        () => head("GET", `${authorised(target)}&offset=now&subset__where=`),
        () => head("GET", `${authorised(target)}&offset=999999999999_0&handle=HANDLE`),
        () => Buffer.from("GET /v1/shape?table="),
        () => Buffer.from("POST /v1/shape HTTP/1.1\r\nhost")
      ])()
    ],
    right: () => true,
    leaves: true
  }),
  "random parameters": (random, { table, secret }) => {
    const names =
      "table offset handle live columns where params subset replica log cursor subset__limit subset__params"
    const part = () => {
      const name = random.pick(names.split(" "))
      const value = random.pick<() => string>([
        () => encodeURIComponent(random.pick(wrongValues)),
        () =>
          randomBytes(random, random.int(0, 40))
            .toString("latin1")
            .replaceAll(/[\0- \x7f#]/g, "%"),
        () => random.pick([table, "-1", "now", "id", "full", "1"])
      ])()
      return `${name}${random.pick(["", "", "[]", "[1]", "[a][b]"])}=${value}`
    }
    const query = Array.from({ length: random.int(0, 6) }, part)
      .join("&")
      .replaceAll(/live|offset=\d/g, "x")
    return {
      bytes: [head(random.pick(["GET", "HEAD", "DELETE", "OPTIONS"]), `/v1/shape?${query}&secret=${secret}`)],
      // By chance one of them may be in order.
      right: (status) => status !== "none" && status < 500
    }
  }
}

/** The kinds of requests there are. */
export const hostileKinds: ReadonlyArray<string> = Object.keys(makers)

/** These take their time on the attacker's side as well, so there are fewer of them. */
const large = [
  "deep JSON",
  "huge condition",
  "megabytes of query",
  "megabytes of headers",
  "megabytes of body"
]
const small = hostileKinds.filter((kind) => !large.includes(kind))

/** One request of the given kind, or of any. */
export const hostileRequest = (
  random: Random,
  target: HostileTarget,
  kind: string = random.pick(random.chance(0.05) ? large : small)
): HostileRequest => {
  const make = makers[kind]
  if (make === undefined) throw new Error(`No such kind: ${kind}`)
  return { kind, ...make(random, target) }
}
