import { connect } from "node:net"
import { readdirSync, readFileSync } from "node:fs"
import {
  evilHeader,
  hostileKinds,
  hostileRequest,
  type HostileRequest,
  type HostileTarget
} from "./HostileRequests.ts"
import type { Random } from "../Random.ts"

export interface HostileOptions {
  readonly port: number
  readonly target: HostileTarget
  readonly random: Random
  readonly seconds: number
  /** Attackers at the same time. */
  readonly attackers: number
}

export interface HostileReport {
  /** Number of answers by kind and status. */
  readonly answers: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly requests: number
  readonly slowestMillis: number
  /** Answers that are wrong, or tell what they should not. */
  readonly problems: ReadonlyArray<string>
}

/** Longer than anything that these requests may make the service do, waiting for a catalogue included. */
const answerMillis = 30_000

interface Answer {
  readonly status: number | "none"
  readonly text: string
  readonly isLate: boolean
}

const send = (port: number, request: HostileRequest): Promise<Answer> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    let text = ""
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      socket.destroy()
    }, answerMillis)
    socket.on("data", (data: Buffer) => (text += data.toString("latin1")))
    socket.on("error", () => {})
    socket.on("close", () => {
      clearTimeout(timer)
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]
      resolve({ status: status === undefined ? "none" : Number(status), text, isLate })
    })
    socket.on("connect", () => {
      for (const bytes of request.bytes) socket.write(bytes)
      if (request.leaves === true) setImmediate(() => socket.destroy())
      // Garbage is not always recognisable as such before its end.
      else if (request.kind === "no HTTP") socket.end()
    })
  })

/** What no answer may contain: the secret, a stack, a path of ours, a header that the attacker made. */
const leaks = (answer: string, secret: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const headers = answer.slice(0, answer.indexOf("\r\n\r\n")).toLowerCase()
  if (headers.includes(`\n${evilHeader}:`) || headers.includes(`\r${evilHeader}:`))
    found.push("a header of the attacker's")
  if (answer.includes(secret)) found.push("the secret")
  if (/\bat \S+ \(|node_modules|\/src\/|\.ts:\d/.test(answer)) found.push("a stack")
  if (/root:x:0|PostgreSQL \d/.test(answer)) found.push("a file or a setting of the server")
  return found
}

/** Attacks the service for a time and says which answers were not right. */
export const hostileRuns = async (options: HostileOptions): Promise<HostileReport> => {
  const { port, random, target } = options
  const answers: Record<string, Record<string, number>> = {}
  const problems: Array<string> = []
  let requests = 0
  let slowestMillis = 0
  const deadline = performance.now() + 1000 * options.seconds
  const attack = async (attacker: number) => {
    const own = random.fork()
    // Each kind at least once, however short the run is.
    const first = hostileKinds.filter((_, i) => i % options.attackers === attacker)
    while (first.length > 0 || performance.now() < deadline) {
      const request = hostileRequest(own, target, first.pop())
      const began = performance.now()
      const { status, text, isLate } = await send(port, request)
      if (request.leaves === true) continue
      requests++
      slowestMillis = Math.max(slowestMillis, performance.now() - began)
      const ofKind = (answers[request.kind] ??= {})
      ofKind[status] = (ofKind[status] ?? 0) + 1
      const wrong = [...(isLate ? ["no answer in time"] : []), ...leaks(text, target.secret)]
      if (!request.right(status)) wrong.push(`status ${status}`)
      if (wrong.length > 0 && problems.length < 20)
        problems.push(
          `${request.kind}: ${wrong.join(", ")} for ${JSON.stringify(
            Buffer.concat(request.bytes).subarray(0, 600).toString("latin1")
          )}: ${text.slice(-300)}`
        )
    }
  }
  await Promise.all(Array.from({ length: options.attackers }, (_, i) => attack(i)))
  return { answers, requests, slowestMillis: Math.round(slowestMillis), problems }
}

export interface ProcessState {
  readonly residentMiB: number
  readonly openFiles: number
}

/** What the process holds right now; undefined where there is no `/proc`. */
export const processState = (pid: number): ProcessState | undefined => {
  try {
    const kilobytes = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])
    return { residentMiB: Math.round(kilobytes / 1024), openFiles: readdirSync(`/proc/${pid}/fd`).length }
  } catch {
    return undefined
  }
}
