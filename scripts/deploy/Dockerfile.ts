import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

/** One instruction, with its continuation lines joined. */
export interface Instruction {
  readonly name: string
  readonly text: string
}

/** What a container would be started with: the last stage. */
export interface Image {
  /** Its working directory. */
  readonly directory: string
  readonly user: string | undefined
  readonly volume: string | undefined
  readonly port: number
  readonly entrypoint: ReadonlyArray<string>
  readonly healthcheck: ReadonlyArray<string>
}

const nothingSet: Omit<Image, "directory"> = {
  user: undefined,
  volume: undefined,
  port: 0,
  entrypoint: [],
  healthcheck: []
}

export const readDockerfile = (file: string): ReadonlyArray<Instruction> =>
  readFileSync(file, "utf8")
    .replaceAll(/^#.*$/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n")
    .flatMap((line) => {
      const match = /^([A-Z]+)\s+(.*)$/.exec(line.trim())
      return match === null ? [] : [{ name: match[1] ?? "", text: match[2] ?? "" }]
    })

/** The JSON array that the exec form of an instruction has. Without a shell signals reach the process itself. */
const execForm = (instruction: Instruction): ReadonlyArray<string> => {
  const json = instruction.text.slice(instruction.text.indexOf("["))
  const words = json.startsWith("[") ? (JSON.parse(json) as ReadonlyArray<string>) : []
  if (words.length === 0) throw new Error(`${instruction.name} must be in the exec form: ${instruction.text}`)
  return words
}

/** How containers of the last stage are started. Refuses instructions that these checks do not know. */
export const describeImage = (instructions: ReadonlyArray<Instruction>): Omit<Image, "directory"> => {
  let image = nothingSet
  for (const instruction of instructions) {
    const { name, text } = instruction
    switch (name) {
      case "FROM":
        image = nothingSet
        break
      case "USER":
        image = { ...image, user: text }
        break
      case "VOLUME":
        image = { ...image, volume: text }
        break
      case "EXPOSE":
        image = { ...image, port: Number(text) }
        break
      case "ENTRYPOINT":
        image = { ...image, entrypoint: execForm(instruction) }
        break
      case "HEALTHCHECK":
        image = { ...image, healthcheck: execForm(instruction) }
        break
      case "COPY":
      case "ENV":
      case "RUN":
      case "STOPSIGNAL":
      case "WORKDIR":
        break
      default:
        throw new Error(`These checks do not know the instruction ${name}`)
    }
  }
  return image
}

export interface BuildOptions {
  /** What is sent to the engine: the repository. */
  readonly context: string
  /** What `FROM` may name besides images that only bring Node and a system: what this has built before. */
  readonly images?: Readonly<Record<string, Image>>
  /** One directory per stage is made here. */
  readonly target: string
  /** Whom the files that the image gives to its user belong to. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  readonly path: string
  readonly log: (line: string) => void
}

/**
 * Carries the instructions of the Dockerfile out in directories instead of containers: the same files, the same commands,
 * in the same order, with the Node that is here. It knows what our Dockerfile uses and refuses everything else.
 */
export const buildImage = (instructions: ReadonlyArray<Instruction>, options: BuildOptions): Image => {
  const stages = new Map<string, string>()
  const lets = dockerignore(options.context)
  let directory = ""
  let workdir = ""

  const copy = (text: string) => {
    const words = text.split(/\s+/)
    const from = words[0]?.startsWith("--from=") === true ? words.shift()?.slice("--from=".length) : undefined
    const to = words.pop() ?? "."
    for (const word of words) {
      const stage = from === undefined ? undefined : stages.get(from)
      if (from !== undefined && stage === undefined) throw new Error(`There is no stage ${from}`)
      const source =
        stage === undefined
          ? path.join(options.context, word)
          : path.join(stage, path.relative(workdir, word))
      if (!existsSync(source)) throw new Error(`COPY ${word}: no such file`)
      if (from === undefined && !lets(word)) throw new Error(`COPY ${word}: .dockerignore leaves it out`)
      const single = !to.endsWith("/") && words.length === 1 && to !== "."
      const target = path.join(directory, single ? to : path.join(to, path.basename(word)))
      // Links among the commands of node_modules are relative.
      cpSync(source, target, { recursive: true, verbatimSymlinks: true })
    }
  }

  const run = (command: string) => {
    options.log(`RUN ${command}`)
    const { owner } = options
    // Packages of the image's system are not for the one that this runs on, and neither are its directories.
    if (command.startsWith("apt-get ")) return
    const adapted = command
      .replaceAll(/chown (-R )?node:node/g, (_, recursive: string | undefined) =>
        owner === undefined ? "true" : `chown ${recursive ?? ""}${owner.uid}:${owner.gid}`
      )
      .replaceAll(" /var/", ` ${directory}/var/`)
    const result = spawnSync("sh", ["-c", adapted], {
      cwd: directory,
      env: { ...process.env, PATH: options.path, npm_config_loglevel: "error" },
      encoding: "utf8"
    })
    if (result.status !== 0) throw new Error(`RUN ${command} failed:\n${result.stdout}${result.stderr}`)
  }

  for (const { name, text } of instructions) {
    switch (name) {
      case "FROM": {
        const [, stage = String(stages.size)] = /\sAS\s+(\S+)$/i.exec(text) ?? []
        directory = path.join(options.target, stage)
        mkdirSync(directory, { recursive: true })
        const base = options.images?.[text.split(/\s+/)[0] ?? ""]
        if (base !== undefined) cpSync(base.directory, directory, { recursive: true, verbatimSymlinks: true })
        stages.set(stage, directory)
        options.log(`FROM ${text}`)
        break
      }
      case "WORKDIR":
        workdir = text
        break
      case "COPY":
        copy(text)
        break
      case "RUN":
        run(text)
        break
      default:
      // The rest says how the image is run, which `describeImage` reads.
    }
  }
  return { ...describeImage(instructions), directory }
}

/** Our `.dockerignore` leaves everything out and then lets names through; the last rule that fits decides. */
const dockerignore = (context: string): ((file: string) => boolean) => {
  const rules = readFileSync(path.join(context, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
  return (file) => {
    let ignored = false
    for (const rule of rules) {
      const negated = rule.startsWith("!")
      const pattern = negated ? rule.slice(1) : rule
      const fits =
        pattern === "*" ||
        (pattern.endsWith("/*")
          ? file.startsWith(pattern.slice(0, -1))
          : file === pattern || file.startsWith(`${pattern}/`))
      if (fits) ignored = !negated
    }
    return !ignored
  }
}
