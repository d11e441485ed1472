import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { versionsIn } from "./Releases.ts"
import { startService, type TestService } from "../services/Service.ts"

/**
 * What a release once stored and answered, in `recorded/<version>.tgz`. Written by `scripts/record-answers.ts`, which let
 * that release run, and never changed afterwards.
 */
export interface Recording {
  readonly release: string
  /** The stream id of all storage directories. */
  readonly streamId: string
  /** Settings of the instances that answered. */
  readonly env: Readonly<Record<string, string>>
  readonly stages: ReadonlyArray<Stage>
}

/** One storage directory, `storage/<name>`, and what an instance that reads it answers without a database. */
export interface Stage {
  readonly name: string
  /** How many records of each kind stand in its journal: the names of `Notice`, and those of other kinds of records. */
  readonly records: Readonly<Record<string, number>>
  /** Digests of the identities of shapes, by handle, as the checkpoint has them. */
  readonly identities: Readonly<Record<string, string>>
  readonly answers: ReadonlyArray<Answer>
  /** What live answers were given, and when, with the time-out of `env` and no cursor of before. */
  readonly cursors: ReadonlyArray<{ readonly atMillis: number; readonly cursor: string }>
}

/** An answer as clients and caches keep it, with the question. */
export interface Answer {
  /** The query of `/v1/shape`. */
  readonly query: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Of a long one its beginning, its length and a digest. */
  readonly body: string
}

const shownBytes = 2000

const bodyOf = (body: string): string =>
  body.length <= shownBytes
    ? body
    : `${body.slice(0, 200)}... ${body.length} characters, ${createHash("sha256").update(body).digest("hex")}`

/** What clients and caches go by. */
const keptHeaders = /^(?:etag|cache-control|surrogate-control|content-type|electric-.*|retry-after)$/
/** The time of the answer is in it, so it is kept aside. */
const cursor = "electric-cursor"
/** Names the release. */
const server = "electric-server"

/** An answer that says only that there is nothing new has a name of its own each time. */
const withoutChance = (value: string) => value.replace(/:\d{16}"$/, ':?"')

export const ask = async (url: string, query: string, headers: Readonly<Record<string, string>> = {}) => {
  const response = await fetch(`${url}/v1/shape?${query}`, { headers })
  const body = await response.text()
  const kept = [...response.headers].filter(
    ([name]) => keptHeaders.test(name) && name !== cursor && name !== server
  )
  const answer: Answer = {
    query,
    status: response.status,
    headers: Object.fromEntries(kept.map(([name, value]) => [name, withoutChance(value)])),
    body: bodyOf(body)
  }
  return {
    answer,
    etag: response.headers.get("etag"),
    cursor: response.headers.get(cursor),
    date: response.headers.get("date")
  }
}

/** An instance that has this storage and no database: it answers for the shapes that it finds, and changes nothing. */
export const startAlone = (
  storageDir: string,
  { env, streamId }: Pick<Recording, "env" | "streamId">,
  entry?: string
): Promise<TestService> =>
  startService({
    ...(entry === undefined ? {} : { entry }),
    storageDir,
    until: "waiting",
    env: {
      // Nobody listens there.
      DATABASE_URL: "postgresql://nobody@127.0.0.1:1/recorded",
      ELECTRIC_REPLICATION_STREAM_ID: streamId,
      // Caches may keep the beginning of rows for as long as those releases said, where nothing takes their place.
      BATON_COMPACTION: "false",
      ...env
    }
  })

const recorded = path.join(import.meta.dirname, "recorded")

/** The releases of which there is a recording, oldest first. */
export const recordedReleases: ReadonlyArray<string> = versionsIn(recorded)

export const recordingFile = (version: string): string => path.join(recorded, `${version}.tgz`)

/** A recording in a temporary directory. */
export interface Unpacked extends Disposable {
  readonly recording: Recording
  readonly storageOf: (stage: Stage) => string
}

export const unpackRecording = async (version: string): Promise<Unpacked> => {
  const directory = mkdtempSync(path.join(tmpdir(), `baton-recorded-${version}-`))
  await promisify(execFile)("tar", ["xzf", recordingFile(version), "-C", directory])
  return {
    recording: JSON.parse(readFileSync(path.join(directory, "recording.json"), "utf8")) as Recording,
    storageOf: ({ name }) => path.join(directory, "storage", name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true })
  }
}
