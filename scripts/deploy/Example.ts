import { Result } from "effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import type { BatonConfig } from "../../src/config/BatonConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import type { Yaml } from "../support/PlainYaml.ts"
import type { Image as BuiltImage } from "./Dockerfile.ts"

export type Image = Omit<BuiltImage, "directory">

export const directory = path.join(import.meta.dirname, "../../docs/deploy")
export const read = (name: string): string => readFileSync(path.join(directory, name), "utf8")

/** What an example says about how the service runs, whatever it is written for. */
export interface Workload {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
  /** From SIGTERM to SIGKILL, less what passes before SIGTERM. */
  readonly graceSeconds: number
  /** What is mounted for storage: something to keep, or `undefined` where the container's own disk will do, with a bucket. */
  readonly storageMount: string | undefined
  readonly port: number
}

/** Where secrets stand. */
export const secrets: Readonly<Record<string, string>> = {
  DATABASE_URL: "postgresql://user:password@postgres:5432/app",
  ELECTRIC_SECRET: "secret",
  ELECTRIC_INSTANCE_ID: "instance",
  AWS_ACCESS_KEY_ID: "key",
  AWS_SECRET_ACCESS_KEY: "its secret",
  POD_IP: "10.0.1.7"
}

/** The value at a path of keys and positions; fails when there is none. */
export const at = (value: Yaml | undefined, ...keys: ReadonlyArray<string | number>): Yaml => {
  let here: Yaml | undefined = value
  for (const [i, key] of keys.entries()) {
    if (typeof here !== "object" || here === null) here = undefined
    else here = (here as Readonly<Record<string | number, Yaml>>)[key]
    if (here === undefined) throw new Error(`There is no ${keys.slice(0, i + 1).join(".")}`)
  }
  return here ?? null
}
export const list = (value: Yaml): ReadonlyArray<Yaml> => (Array.isArray(value) ? value : [])
export const text = (value: Yaml): string =>
  typeof value === "object" ? JSON.stringify(value) : String(value)
export const seconds = (value: Yaml): number => Number(/^(\d+)s?$/.exec(text(value))?.[1])

/** Notes what is not as wanted. */
export type Expect = (what: string, actual: Yaml | undefined, wanted: Yaml) => void

/** The environment is a configuration without a complaint, and it fits the image. */
export const checkWorkload = (workload: Workload, image: Image, problems: Array<string>): void => {
  const { environment, graceSeconds, name, port, storageMount } = workload
  const problem = (what: string) => problems.push(`${name}: ${what}`)
  const parsed = parseConfig(environment)
  if (Result.isFailure(parsed)) return void problem(parsed.failure.message)
  if (parsed.success._tag !== "Complete") return void problem("DATABASE_URL is not set")
  for (const warning of parsed.success.warnings) problem(warning)
  const config: BatonConfig = parsed.success.config
  if (config.port !== port || port !== image.port) problem(`port ${config.port}, ${port} and ${image.port}`)
  if (storageMount !== undefined && config.storageDir !== storageMount)
    problem(`stores in ${config.storageDir}, mounts ${storageMount}`)
  // Only that directory belongs to the image's user, whether or not anything is mounted there.
  if (config.storageDir !== image.volume)
    problem(`stores in ${config.storageDir}, the image declares ${image.volume}`)
  if ((config.bucket === undefined) === (storageMount === undefined))
    problem("has a bucket and a volume, or neither")
  const needed = config.shutdownGraceMillis / 1000 + 5
  if (!(graceSeconds >= needed)) problem(`is killed after ${graceSeconds} s, but may need ${needed} s`)
}
