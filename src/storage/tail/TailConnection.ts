import type { IncomingMessage } from "node:http"
import type { Timers } from "../../shared/Timers.ts"
import type { TailReader, TailTarget } from "./TailReader.ts"
import { TailDecoder, type TailFrame, tailFormat, tailPath } from "./TailFrames.ts"
import type { JournalPlace } from "./Shown.ts"
import { lookMillis, silenceMillis } from "./TailTimings.ts"

/** How a connection to a writer came to its end. */
export type TailEnd =
  /** The writer has stopped writing. */
  | { readonly _tag: "Ended" }
  /** There is a later epoch, or another writer; or nobody wants it any more. */
  | { readonly _tag: "Superseded" }
  /** The mirror has got somewhere else meanwhile. */
  | { readonly _tag: "Unwanted" }
  | { readonly _tag: "Refused"; readonly status: number; readonly reason: string }
  | { readonly _tag: "Lost"; readonly said: string }

interface Reading {
  readonly reader: TailReader
  readonly target: TailTarget
  readonly secret: string
  readonly timers: Timers
  readonly signal: AbortSignal
}

/** More of an answer that is no tail is not read. */
const refusalBytes = 4096

/** In this way, because importing `node:http` would read all that it exports (`http/node/Exchange.ts`). */
const clientFor = (url: string) =>
  url.startsWith("https:") ? process.getBuiltinModule("node:https") : process.getBuiltinModule("node:http")

const lost = (said: string): TailEnd => ({ _tag: "Lost", said })

/** Reads the journal from one writer until that ends, however it does. Never fails. */
export const readTail = (reading: Reading): Promise<TailEnd> => new TailConnection(reading).run()

class TailConnection {
  private readonly reading: Reading
  private readonly decoder = new TailDecoder()
  private next: JournalPlace
  private isAlive = false
  private isGreeted = false
  private heardAtMillis: number
  /** Nothing is read from the connection now, so nothing can be heard. */
  private isApplying = false
  /** Why it was given up from here. */
  private givenUp: TailEnd | undefined
  private cut = () => {}

  constructor(reading: Reading) {
    const { segment, position } = reading.target
    this.reading = reading
    this.next = { segment, position }
    this.heardAtMillis = reading.timers.nowMillis()
  }

  async run(): Promise<TailEnd> {
    const { signal, timers } = this.reading
    const stopLooking = timers.every(lookMillis, () => this.look(), "aside")
    const onAbort = () => this.giveUp({ _tag: "Superseded" })
    signal.addEventListener("abort", onAbort, { once: true })
    try {
      const response = await this.request()
      const { statusCode: status = 0 } = response
      if (status !== 200) return { _tag: "Refused", status, reason: await refusalOf(response) }
      for await (const chunk of response as AsyncIterable<Buffer>) {
        const wrong = await this.received(chunk)
        if (wrong !== undefined) return wrong
      }
      return this.givenUp ?? { _tag: "Ended" }
    } catch (error) {
      return this.givenUp ?? lost(error instanceof Error ? error.message : String(error))
    } finally {
      stopLooking()
      signal.removeEventListener("abort", onAbort)
      this.cut()
      this.setAlive(false)
    }
  }

  private request(): Promise<IncomingMessage> {
    const { secret, target } = this.reading
    const { epoch, position, segment, url } = target
    return new Promise((resolve, reject) => {
      const query = `epoch=${epoch}&segment=${segment}&position=${position}`
      const request = clientFor(url).get(`${url}${tailPath}?${query}`, {
        agent: false,
        headers: { authorization: `Bearer ${secret}`, accept: "application/octet-stream" }
      })
      this.cut = () => void request.destroy()
      if (this.givenUp !== undefined) this.cut()
      request.on("socket", (socket) => socket.setNoDelay(true))
      request.on("response", resolve)
      // Also after the answer has come: then the reading of that has failed as well.
      request.on("error", reject)
    })
  }

  private giveUp(end: TailEnd): void {
    this.givenUp ??= end
    this.cut()
  }

  /** A writer that is silent, or not the one to follow any more, is left. */
  private look(): void {
    const { reader, target, timers } = this.reading
    const now = reader.target()
    if (now === undefined || now.epoch !== target.epoch || now.url !== target.url)
      return this.giveUp({ _tag: "Superseded" })
    const silentMillis = this.isApplying ? 0 : timers.nowMillis() - this.heardAtMillis
    if (silentMillis >= silenceMillis)
      this.giveUp(lost(`it was not heard of for ${Math.round(silentMillis)} ms`))
  }

  private setAlive(alive: boolean): void {
    if (this.isAlive === alive) return
    this.isAlive = alive
    this.reading.reader.isAlive(alive)
  }

  /** Applies what has come, one after the other. What is wrong with it, if anything is. */
  private async received(chunk: Buffer): Promise<TailEnd | undefined> {
    const frames: Array<TailFrame> = []
    const isSound = this.decoder.push(chunk, (frame) => frames.push(frame))
    for (const frame of frames) {
      // Looked at before each of them, because applying the one before may have taken its time.
      this.look()
      if (this.givenUp !== undefined) return this.givenUp
      this.isApplying = true
      const wrong = await this.heard(frame)
      this.isApplying = false
      this.heardAtMillis = this.reading.timers.nowMillis()
      if (wrong !== undefined) return wrong
    }
    return isSound ? undefined : lost("what it sent was damaged on the way")
  }

  private async heard(frame: TailFrame): Promise<TailEnd | undefined> {
    const { reader, target } = this.reading
    if (frame._tag === "Hello") {
      const { epoch, format, release } = frame.hello
      if (format > tailFormat)
        return lost(`it is of release ${release}, whose form of the tail is not known here`)
      if (epoch !== target.epoch) return lost(`it sends epoch ${epoch} and not ${target.epoch}`)
      this.isGreeted = true
      this.setAlive(true)
      return undefined
    }
    if (!this.isGreeted) return lost("it does not begin as a tail does")
    if (frame._tag === "Created") await reader.created(target.epoch, frame.object)
    else if (frame._tag === "Bytes") {
      const { bytes, position, segment } = frame.bytes
      if (!this.continues(frame.bytes))
        return lost(`it sends segment ${segment} from ${position} on, and something is missing before that`)
      this.next = { segment, position: position + bytes.length }
      if (!(await reader.applyBytes(target.epoch, segment, position, bytes))) return { _tag: "Unwanted" }
    }
    return undefined
  }

  private continues({ position, segment }: JournalPlace): boolean {
    const { next } = this
    return segment === next.segment
      ? position === next.position
      : segment === next.segment + 1 && position === 0
  }
}

/** Why the writer does not send its journal, as far as it says. */
const refusalOf = async (response: IncomingMessage): Promise<string> => {
  let text = ""
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString()
    if (text.length > refusalBytes) break
  }
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown }
    if (typeof message === "string") return message
  } catch {
    // Something else than a Baton answers there.
  }
  return `it answers with status ${response.statusCode}`
}
