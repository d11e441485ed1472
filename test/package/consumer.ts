import { execFile, spawn } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { keptOfSources } from "../../testing/services/Kept.ts"

const run = promisify(execFile)

export const root = path.resolve(import.meta.dirname, "../..")

/** A project that has installed the published package. */
export interface Consumer {
  readonly directory: string
  /** The package in it. */
  readonly packed: string
  /** The installed command. */
  readonly command: string
  readonly dispose: () => void
}

/** Unpacks what `npm pack` makes of this repository, which compiles it before. */
export const unpackPackage = async (directory: string): Promise<void> => {
  const files = ["README.md", "LICENSE", "tsconfig.json", "tsconfig.build.json", "scripts/build.ts"]
  const kept = await keptOfSources("package", files, (target) =>
    run("npm", ["pack", "--pack-destination", target, "--loglevel=error"], { cwd: root })
  )
  const tarball = readdirSync(kept).find((name) => name.endsWith(".tgz"))
  if (tarball === undefined) throw new Error("npm pack made no tarball")
  await run("tar", ["-xzf", path.join(kept, tarball), "-C", directory, "--strip-components=1"])
}

/**
 * Packs this repository and installs the tarball into an empty project, without the network: what npm would install
 * along with it (production dependencies by the lock file, and nothing else) is linked from here, as are `others`, which
 * the project has of its own.
 */
export const installPackage = async (others: ReadonlyArray<string> = []): Promise<Consumer> => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "baton-consumer-"))
  chmodSync(directory, 0o755)
  const modules = path.join(directory, "node_modules")
  const packed = path.join(modules, "pgbaton")
  mkdirSync(packed, { recursive: true })
  await unpackPackage(packed)
  for (const name of [...productionPackages(), ...others]) {
    const link = path.join(modules, name)
    mkdirSync(path.dirname(link), { recursive: true })
    symlinkSync(path.join(root, "node_modules", name), link)
  }
  mkdirSync(path.join(modules, ".bin"))
  const manifest = JSON.parse(readFileSync(path.join(packed, "package.json"), "utf8")) as {
    readonly bin: { readonly baton: string }
  }
  const command = path.join(modules, ".bin", "baton")
  const target = path.join(packed, manifest.bin.baton)
  // As npm does for the commands of what it installs.
  chmodSync(target, 0o755)
  symlinkSync(path.relative(path.dirname(command), target), command)
  await writeFile(path.join(directory, "package.json"), '{"type":"module","private":true}')
  return {
    directory,
    packed,
    command,
    dispose: () => rmSync(directory, { recursive: true, force: true })
  }
}

const productionPackages = (): ReadonlyArray<string> => {
  const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly optional?: boolean }>>
  }
  const prefix = "node_modules/"
  return Object.entries(lock.packages)
    .filter(([at, entry]) => at.startsWith(prefix) && entry.dev !== true && entry.optional !== true)
    .map(([at]) => at.slice(prefix.length))
    .filter((name) => !name.includes(prefix))
}

export interface Finished {
  readonly code: number | null
  readonly output: string
}

/** Runs to the end; output is standard output and error together. */
export const runToEnd = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> }
): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { PATH: pathWithThisNode, BATON_LOG_FORMAT: "text", ...options.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.once("error", reject)
    child.once("close", (code) => resolve({ code, output }))
  })

/** The `node` that commands with a shebang find is the one that runs the tests. */
export const pathWithThisNode = `${path.dirname(process.execPath)}${path.delimiter}${process.env["PATH"] ?? ""}`

export interface Example {
  readonly file: string
  readonly language: string
  readonly code: string
}

/** The code blocks of a document that are marked with a file name: ```` ```ts file=server.ts ````. */
export const examplesOf = (document: string): ReadonlyArray<Example> => {
  const text = readFileSync(path.join(root, document), "utf8")
  return Array.from(text.matchAll(/^```(\w+) file=(\S+)\n(.*?)^```$/gms), (match) => ({
    language: match[1] ?? "",
    file: match[2] ?? "",
    code: match[3] ?? ""
  }))
}
