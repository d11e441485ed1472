import type { LogOffset } from "../../shapes/LogOffset.ts"
import {
  mergedUpdate,
  offsetIn,
  type Operation,
  rowText,
  type RowMessage,
  updateText,
  withoutLastMark
} from "./RowMessage.ts"

/** A message of a folded log, without the mark of a transaction's last. */
export interface KeptMessage {
  readonly at: LogOffset
  readonly text: string
}

const kept = (text: string): KeptMessage => ({ at: offsetIn(text), text: withoutLastMark(text) })

/**
 * What is kept of the messages of one row over a range of the log: the last delete, the first insert after it, and one update
 * that does what all updates since do, where the last of them stands. So a reader at any offset in the range ends with the row as
 * it is at the end of the range: what it lacks stands behind its offset. It is never given an insert of a row that it has,
 * because before an insert it is given the delete, nor an update of one that it has not, because no delete stands between
 * an insert and the update. A delete of a row that it has never had may be all that is left of a pair.
 *
 * Folding what was folded, together with what comes after, gives the same as folding all of it.
 */
export class KeyFold {
  private removal: string | undefined
  private arrival: string | undefined
  /** As a text as long as there is only one: most are never merged with another. */
  private update: string | RowMessage | undefined
  /** Characters that are held for it, about. */
  length = 0

  /** The next message of the row, and what it does. */
  add(operation: Operation, text: string): void {
    switch (operation) {
      case "delete":
        this.removal = text
        this.arrival = undefined
        this.update = undefined
        this.length = text.length
        return
      case "insert":
        this.arrival = text
        this.update = undefined
        this.length = text.length + (this.removal?.length ?? 0)
        return
      case "update":
        this.update = this.update === undefined ? text : mergedUpdate(parsed(this.update), parsed(text))
        // A column that was there before is not held twice, but how long it was is forgotten.
        this.length = Math.max(
          this.length,
          2 * text.length + (this.removal?.length ?? 0) + (this.arrival?.length ?? 0)
        )
    }
  }

  /** In the order of their offsets. */
  messages(): ReadonlyArray<KeptMessage> {
    const { arrival, removal, update } = this
    const messages: Array<KeptMessage> = []
    if (removal !== undefined) messages.push(kept(removal))
    if (arrival !== undefined) messages.push(kept(arrival))
    if (update !== undefined) messages.push(kept(textOf(update)))
    return messages
  }

  /** Their texts alone, to be folded again. */
  texts(): ReadonlyArray<string> {
    const { arrival, removal, update } = this
    const texts: Array<string> = []
    if (removal !== undefined) texts.push(removal)
    if (arrival !== undefined) texts.push(arrival)
    if (update !== undefined) texts.push(textOf(update))
    return texts
  }

  /** The row, as first rows have it, if there is one at the end. Throws where the log has updates of a row that is not there. */
  row(): string | undefined {
    const { arrival, update } = this
    if (arrival !== undefined) return rowText(arrival, update === undefined ? undefined : parsed(update))
    if (update !== undefined)
      throw new Error(`the log has an update of a row that it has not: ${parsed(update).key}`)
    return undefined
  }
}

const parsed = (update: string | RowMessage): RowMessage =>
  typeof update === "string" ? (JSON.parse(update) as RowMessage) : update

const textOf = (update: string | RowMessage): string =>
  typeof update === "string" ? update : updateText(update)
