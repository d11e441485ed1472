/**
 * Checks Dockerfile and deployment examples on a machine without a container engine: `npx node scripts/check-deploy.ts`.
 *
 * 1. The instructions of the Dockerfile are carried out in directories, and what comes out runs as a user without rights.
 * 2. The examples in docs/deploy are read: their environment is a valid configuration, and probes, ports, volumes, users
 *    and grace periods fit the image and each other.
 * 3. The steps of a rollout are done with processes from that image, while clients follow shapes through a balancer: on one
 *    volume, and with a volume for each and a bucket.
 * 4. The image for AWS finds keys where AWS' own programs find them.
 */
import {
  mkdtempSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import pg from "pg"
import { startFakeS3 } from "../testing/bucket/FakeS3.ts"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { freePort } from "../src/dev/FreePort.ts"
import { type Container, plainUser, startContainer } from "./deploy/container.ts"
import { buildImage, type Image, readDockerfile } from "./deploy/Dockerfile.ts"
import { checkExamples } from "./deploy/examples.ts"
import { rollouts } from "./deploy/rollouts.ts"

const root = path.join(import.meta.dirname, "..")
const nodePath = `${path.dirname(process.execPath)}${path.delimiter}${process.env["PATH"] ?? ""}`
const began = performance.now()
const log = (line: string): void =>
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`)
const check = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(`It does not hold that ${what}`)
  log(`ok: ${what}`)
}

const bytesIn = (directory: string): number => {
  let bytes = 0
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name)
    if (entry.isDirectory()) bytes += bytesIn(file)
    else if (entry.isFile()) bytes += statSync(file).size
  }
  return bytes
}

let failed = false
const directory = mkdtempSync(path.join(os.tmpdir(), "baton-deploy-"))
chmodSync(directory, 0o755)
const cluster = await startCluster()
const s3 = await startFakeS3()
const running = new Set<Container>()

type Start = (
  environment: Readonly<Record<string, string>>,
  port?: number,
  image?: Image
) => Promise<Container>

/** A directory that the service may write to, as an engine mounts one. */
const makeVolume = (name: string): string => {
  const volume = path.join(directory, name)
  mkdirSync(volume)
  const user = plainUser()
  if (user !== undefined) chownSync(volume, user.uid, user.gid)
  return volume
}

/** The image of docs/deploy/bucket, with keys that stand in a file. */
const lentKeys = async (image: Image, start: Start): Promise<void> => {
  const { directory: files } = buildImage(readDockerfile(path.join(root, "docs/deploy/bucket/Dockerfile")), {
    context: root,
    images: { "baton:local": image },
    target: path.join(directory, "aws"),
    owner: plainUser(),
    path: nodePath,
    log
  })
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, ...place } = s3.environment("lent")
  const file = path.join(directory, "credentials")
  writeFileSync(file, `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`)
  const environment = {
    ...place,
    AWS_SHARED_CREDENTIALS_FILE: file,
    ELECTRIC_REPLICATION_STREAM_ID: "lent",
    ELECTRIC_STORAGE_DIR: makeVolume("lent")
  }
  // It is started as the one that it is made from.
  const container = await start(environment, undefined, { ...image, directory: files })
  await container.until("active")
  check(true, "the image for AWS is active with keys that it has found")
  container.signal("SIGTERM")
  await container.ended
}

try {
  const instructions = readDockerfile(path.join(root, "Dockerfile"))
  const image: Image = buildImage(instructions, {
    context: root,
    target: path.join(directory, "image"),
    owner: plainUser(),
    path: nodePath,
    log
  })
  log(`The image without Node and its system: ${Math.round(bytesIn(image.directory) / 1e6)} MB`)
  const problems = checkExamples(image)
  for (const problem of problems) log(problem)
  check(problems.length === 0, "the examples fit the image and each other")

  const admin = new pg.Client({ connectionString: cluster.url("postgres") })
  await admin.connect()
  await admin.query("CREATE DATABASE app")
  await admin.end()

  const start: Start = async (environment, port, other) => {
    const container = startContainer({
      image: other ?? image,
      port: port ?? (await freePort()),
      environment: { DATABASE_URL: cluster.url("app"), ELECTRIC_SECRET: "secret", ...environment },
      path: nodePath
    })
    running.add(container)
    void container.ended.then(() => running.delete(container))
    return container
  }
  const bucket = s3.environment("baton")
  await rollouts({ start, makeVolume, bucket, databaseUrl: cluster.url("app"), secret: "secret", log, check })
  await lentKeys(image, start)
  log("Everything holds.")
} catch (error) {
  log(error instanceof Error ? error.message : String(error))
  failed = true
} finally {
  for (const container of running) container.kill()
  await cluster.destroy()
  await s3.close()
  rmSync(directory, { recursive: true, force: true })
}
// Clients that have been stopped leave timers behind.
process.exit(failed ? 1 : 0)
