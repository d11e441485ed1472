import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { designPage } from "../testing/DesignPage.ts"

/**
 * A folder imports only what stands before it. The programs (`main.ts` and its like, and what the package exports) and the
 * composition (`Baton.ts`, `Embed.ts`) stand in the root of `src`, because people name their paths.
 */
const order = [
  [
    "shared",
    "config",
    "health",
    "telemetry",
    "bucket",
    "postgres",
    "where",
    "membership",
    "shapes",
    "storage",
    "replication",
    "registry"
  ],
  [
    "lock",
    "http",
    "instance",
    "practice",
    "workers",
    "metrics",
    "operator",
    "dev",
    "Baton.ts",
    "Embed.ts",
    "command",
    "programs"
  ]
].flat()

/** They are started by their path, or are the surface of a folder. */
const lowerCase =
  /^(index|main|bin|container|healthcheck|workers\/worker|where\/aside\/compileThread|storage\/compaction\/foldThread|where\/index|where\/native\/index)\.ts$/

const src = path.resolve(import.meta.dirname, "../src")
const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .toSorted()
const texts = new Map(files.map((file) => [file, readFileSync(path.join(src, file), "utf8")]))

const importing = /^(?:import|export)\b[^"';]*?from "(\.[^"]+)"|^import "(\.[^"]+)"|import\("(\.[^"]+)"\)/gm
/** What an import or re-export names, of which file; no names stand for all of them. */
const naming =
  /^(?:import|export)(?: type)? (?:\w+, )?(?:(\{[^}]*\})|\*(?: as \w+)?) from "(\.[^"]+)"|import\("(\.[^"]+)"\)/gm
const exporting =
  /^export (?:abstract )?(?:const|let|function\*?|async function\*?|class|interface|type) (\w+)/gm

/** Imports of types count: what a file must know of another one is the same. */
const imports = new Map(
  files.map((file) => [
    file,
    [...(texts.get(file) ?? "").matchAll(importing)].map((found) =>
      path.posix.join(path.posix.dirname(file), found[1] ?? found[2] ?? found[3] ?? "")
    )
  ])
)
const links = files.flatMap((from) => (imports.get(from) ?? []).map((to) => ({ from, to })))

/** What tests ask of a running process, and cannot see in any other way. */
const onlyForTests = ["http/node/PieceBuffers.ts: bufferSizes", "where/parse/Parser.ts: replacedParsers"]

const folderOf = (file: string): string => path.posix.dirname(file)
const place = (file: string): number => {
  const [first = "", ...rest] = file.split("/")
  const name = rest.length > 0 || order.includes(first) ? first : "programs"
  return order.indexOf(name)
}

/** A way from a node back to itself, or `undefined`. */
const cycle = (graph: ReadonlyMap<string, Iterable<string>>): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const way: Array<string> = []
  const visit = (node: string): ReadonlyArray<string> | undefined => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node]
    if (done.has(node)) return undefined
    way.push(node)
    for (const next of graph.get(node) ?? []) {
      const found = visit(next)
      if (found !== undefined) return found
    }
    way.pop()
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const found = visit(node)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * Every fiber has an owner that notices its end. Duties and errands (`shared/Duty.ts`) have one; here are the files that begin
 * fibers in another way, how often, and who takes the end of them.
 */
const forks: Readonly<Record<string, readonly [times: number, owner: string]>> = {
  "shared/Actor.ts": [2, "who asks is given the exit; the loop itself has no way to fail"],
  "shared/Duty.ts": [3, "the duty itself, its supervisor, the log"],
  "shared/Timers.ts": [1, "work without an Effect, as any timer runs it"],
  "shared/Gather.ts": [1, "everybody who asks is given an exit"],
  "postgres/publication/EnsureTable.ts": [2, "who asks for the table is given the exit"],
  "shared/Coalesce.ts": [4, "everybody who waits for the result is given the exit"],
  "where/aside/compileThread.ts": [1, "the end of the thread, which `CompileAside` sees"],
  "registry/deciding/DecisionPool.ts": [2, "the asking session joins it, or gives up and interrupts it"],
  "registry/ShapeCreations.ts": [4, "the clients that wait for the shape are given the exit"],
  "lock/LockActor.ts": [3, "it asks its actor, to which mistakes in that belong"],
  "telemetry/Progress.ts": [1, "a duty, which is interrupted when the work ends that it tells of"],
  "storage/LoadStorage.ts": [1, "the promise is awaited"],
  "storage/compaction/ReadWholeLog.ts": [2, "the promises are awaited"],
  "http/node/NodeHandler.ts": [2, "the set that the handler's scope closes"],
  "http/node/Responder.ts": [1, "a request: its causes are logged, and its connection is cut"],
  "http/mount/ReplyStream.ts": [1, "an event stream, which its consumer reads"],
  "http/mount/FetchHandler.ts": [1, "a request: the exit settles its promise"],
  "instance/Instance.ts": [2, "the loop awaits turns, and `run` joins the loop"],
  "instance/Turn.ts": [2, "the takeover joins one, and storage awaits the promise of the other"],
  "instance/Process.ts": [1, "the drain is joined"],
  "workers/worker.ts": [1, "the exit of the process"],
  "workers/PassOperator.ts": [1, "the stream that is sent awaits its promise"],
  "command/Service.ts": [1, "the exit of the process"],
  "Embed.ts": [2, "the promise is the caller's"]
}
const forking =
  /\bEffect\.(?:fork\w*|run(?:(?:Fork|Promise|Callback)\w*|Sync\w+))|\bruntime\.run\w+|\bFiber(?:Set|Map|Handle)\.\w+/g

/**
 * What rejects the promise of `Effect.promise` is a defect, of which nobody makes anything but a line in the log. So files and
 * sockets have `fromDisk` or `tryPromise`; here is where it stands, how often, and why nothing that it waits for rejects.
 */
const promises: Readonly<Record<string, readonly [times: number, reason: string]>> = {
  "shared/Coalesce.ts": [1, "it gives an exit"],
  "telemetry/Logs.ts": [1, "lines that cannot be written are dropped"],
  "metrics/MetricsServer.ts": [3, "modules of this package"],
  "telemetry/otel/Telemetry.ts": [1, "a module of this package"],
  "telemetry/statsd/StatsdLayer.ts": [1, "a module of this package"],
  "where/parse/Parser.ts": [1, "a module of a package"],
  "dev/DevDatabase.ts": [1, "it catches everything"],
  "http/hook/HookRefusal.ts": [1, "it catches everything"],
  "storage/NotWriting.ts": [1, "the writer asks the disk again, and gives false when closed"],
  "storage/checkpoint/CheckpointWriter.ts": [1, "a turn of the event loop"],
  "registry/repair/RepairTable.ts": [1, "a pace never rejects"],
  "registry/subset/AnswerSpools.ts": [1, "`SpoolFile.close` catches everything"],
  "workers/WorkerLink.ts": [2, "the end of a process"],
  "workers/HttpWorkers.ts": [1, "the end of a process, or its first message"]
}

/** How often files have what the pattern says, where they have it at all. */
const occurrences = (pattern: RegExp): ReadonlyMap<string, number> => {
  const found = files.map((file) => [file, [...(texts.get(file) ?? "").matchAll(pattern)].length] as const)
  return new Map(found.filter(([, times]) => times > 0))
}

const timesIn = (table: Readonly<Record<string, readonly [number, string]>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(table).map(([file, [times]]) => [file, times] as const))

describe("the structure of the code", () => {
  it("has no fiber without an owner", () => {
    assert.deepStrictEqual(occurrences(forking), timesIn(forks), "use a duty, or name the owner")
  })

  it("has no promise that rejects where nobody expects it", () => {
    const found = occurrences(/\bEffect\.promise\b/g)
    assert.deepStrictEqual(
      found,
      timesIn(promises),
      "use `fromDisk` or `tryPromise`, or say why it does not reject"
    )
  })

  it("has folders that import one way", () => {
    const unknown = files.filter((file) => place(file) < 0)
    assert.deepStrictEqual(unknown, [], "a new folder takes its place in the order")
    const wrong = links.filter(({ from, to }) => place(from) < place(to))
    assert.deepStrictEqual(wrong, [])
  })

  it("has no import cycle: not of files, and not of the rooms of a folder", () => {
    assert.isUndefined(cycle(imports))
    const rooms = new Map<string, Set<string>>()
    for (const { from, to } of links) {
      const [a, b] = [folderOf(from), folderOf(to)]
      if (a === b || !a.includes("/") || !b.includes("/")) continue
      const known = rooms.get(a) ?? new Set()
      rooms.set(a, known.add(b))
    }
    assert.isUndefined(cycle(rooms))
  })

  it("has no crowded folder, and no file that is two", () => {
    const sizes = Map.groupBy(files, folderOf)
    const crowded = [...sizes].filter(([, inside]) => inside.length > 24).map(([folder]) => folder)
    assert.deepStrictEqual(crowded, [])
    const long = files.filter((file) => (texts.get(file) ?? "").split("\n").length > 501)
    assert.deepStrictEqual(long, [])
  })

  it("exports only what somebody imports, and nothing that only tests run", () => {
    const root = path.resolve(src, "..")
    const named = new Map<string, Map<string, Set<string>>>()
    for (const folder of ["src", "test", "testing", "scripts"])
      for (const file of readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })) {
        if (!file.endsWith(".ts")) continue
        const from = path.posix.join(folder, path.posix.dirname(file))
        for (const [, names, to, loaded] of readFileSync(path.join(root, folder, file), "utf8").matchAll(
          naming
        )) {
          const target = path.posix.join(from, to ?? loaded ?? "")
          const known = named.get(target) ?? new Map<string, Set<string>>()
          named.set(target, known)
          for (const listed of (names ?? "*").replaceAll(/[{}]|\btype /g, "").split(",")) {
            const name = listed.split(" as ")[0]?.trim() ?? ""
            known.set(name, (known.get(name) ?? new Set<string>()).add(folder))
          }
        }
      }
    const exports = files
      .filter((file) => file !== "index.ts")
      .flatMap((file) => {
        const known = named.get(`src/${file}`)
        const text = (texts.get(file) ?? "").replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "")
        return [...text.matchAll(exporting)].map(([, name = ""]) => ({
          shown: `${file}: ${name}`,
          importers: new Set([...(known?.get(name) ?? []), ...(known?.get("*") ?? [])]),
          mentions: text.match(new RegExp(`\\b${name}\\b`, "g"))?.length ?? 0
        }))
      })
    const shown = (found: typeof exports) => found.map((one) => one.shown)
    assert.deepStrictEqual(shown(exports.filter(({ importers }) => importers.size === 0)), [])
    const dead = exports.filter(({ importers, mentions }) => !importers.has("src") && mentions === 1)
    assert.deepStrictEqual(shown(dead), onlyForTests)
  })

  it("says of every error who acts on it", () => {
    const page = designPage()
    const section = /## Errors: who acts\n([^]*?)\n## /.exec(page)?.[1] ?? ""
    const named = [...section.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|/gm)].flatMap(
      ([, names = "", recovery = ""]) =>
        names.split(", ").map((name) => [name.replaceAll("`", ""), recovery] as const)
    )
    const known = /^(?:retry|ends the turn|fatal|the client's|the host's|by `\w+`)$/
    assert.deepStrictEqual(
      named.filter(([, recovery]) => !known.test(recovery)),
      []
    )
    const errors = [...texts.values()].flatMap((text) =>
      [...text.matchAll(/class (\w+) extends (?:Schema\.TaggedError|Data\.TaggedError|Error\b)/g)].map(
        ([, name = ""]) => name
      )
    )
    assert.deepStrictEqual(named.map(([name]) => name).toSorted(), errors.toSorted())
  })

  it("names each file once, in PascalCase", () => {
    const named = files.filter((file) => !lowerCase.test(file))
    assert.deepStrictEqual(
      named.filter((file) => !/^[A-Z][A-Za-z0-9]*\.ts$/.test(path.posix.basename(file))),
      []
    )
    const same = [...Map.groupBy(named, (file) => path.posix.basename(file).toLowerCase()).values()]
    assert.deepStrictEqual(
      same.filter((group) => group.length > 1),
      []
    )
  })
})
