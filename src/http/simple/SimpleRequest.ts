import { Effect } from "effect"
import type { ApiRequest } from "../request/ApiRequest.ts"
import type { RequestHead } from "./RequestHead.ts"

const nothing = Effect.succeed<Uint8Array>(new Uint8Array())

/** A request that is nothing but a head. What is asked of it is a text of its own, which keeps no bytes of the head. */
export class SimpleRequest implements ApiRequest {
  readonly method = "GET"
  readonly httpVersionMajor = 1
  private head: RequestHead | undefined

  constructor(head: RequestHead) {
    this.head = head
  }

  get target(): string {
    return this.head?.target ?? ""
  }

  header(name: string): string | undefined {
    const { head } = this
    if (head === undefined) return undefined
    const { bytes, places } = head
    for (let i = 0; i < places.length; i += 4) {
      const from = places[i] ?? 0
      const to = places[i + 1] ?? 0
      if (to - from !== name.length) continue
      let at = 0
      while (at < name.length && lower(bytes[from + at] ?? 0) === name.charCodeAt(at)) at++
      if (at === name.length) return bytes.toString("latin1", places[i + 2], places[i + 3])
    }
    return undefined
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = Object.create(null) as Record<string, string>
    if (this.head === undefined) return headers
    const { bytes, places } = this.head
    for (let i = 0; i < places.length; i += 4)
      headers[bytes.toString("latin1", places[i], places[i + 1]).toLowerCase()] = bytes.toString(
        "latin1",
        places[i + 2],
        places[i + 3]
      )
    return headers
  }

  body(): typeof nothing {
    return nothing
  }

  /** It is held from now on, and nobody asks for its parts any more. */
  forget(): void {
    this.head = undefined
  }
}

const lower = (byte: number): number => (byte >= 65 && byte <= 90 ? byte | 32 : byte)
