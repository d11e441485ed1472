import { groupKeyIn, type LinkKey } from "../where/index.ts"
import { Holders } from "./Holders.ts"
import { KeyTable } from "./KeyTable.ts"

/** What a row gives to a sub-select: its values of `group`, none of them NULL, and of `select`. */
export interface Given {
  readonly group: LinkKey
  /** Of `group` and `select`, `null` where a value of `select` is NULL. */
  readonly link: LinkKey
  /** The keys of the values of `select`, `null` for NULL. */
  readonly parts: ReadonlyArray<unknown>
  /** For a sub-select that is asked for its value, or for rows: the value itself, or all of them, and a text that tells it from others. */
  readonly value?: { readonly of: unknown; readonly text: string | null }
}

/** What long values count beside themselves: one for each 64 bytes. */
export interface Weight {
  extra: number
}

/**
 * Small integers for what rows give to the sub-selects of one kind, and which sub-selects have each. An id stands for equal
 * gifts as long as one of them has it; those that nobody has go at the next `sweep`.
 */
export class Links {
  private readonly keys = new KeyTable()
  /** Gifts that are not identified by a link: they have a NULL, or their value matters as it is. */
  private readonly special = new Map<number, Given>()
  private readonly specialIds = new Map<string, number>()
  private readonly holders = new Holders()
  private readonly free: Array<number> = []
  private next = 0
  private readonly idle = new Set<number>()
  /** Whom the open transaction gives an id that they have not. */
  private readonly entering = new Map<number, Set<number>>()
  private readonly groupWidth: number
  private readonly weight: Weight
  private readonly onIdle: () => void

  /** `groupWidth`: how many values the correlation has. `onIdle`: there may be something to sweep. */
  constructor(groupWidth: number, weight: Weight, onIdle: () => void) {
    this.groupWidth = groupWidth
    this.weight = weight
    this.onIdle = onIdle
  }

  /** Of a link, if somebody has it. */
  find(link: LinkKey): number | undefined {
    return this.keys.find(link)
  }

  id(given: Given): number {
    if (given.link !== null && given.value === undefined) {
      let id = this.keys.find(given.link)
      if (id === undefined) {
        id = this.take()
        this.keys.set(given.link, id)
        this.weight.extra += this.weightOf(id) - 1
      }
      return id
    }
    const text = textOf(given)
    let id = this.specialIds.get(text)
    if (id === undefined) {
      id = this.take()
      this.specialIds.set(text, id)
      this.special.set(id, given)
      this.weight.extra += this.weightOf(id) - 1
    }
    return id
  }

  private take(): number {
    const id = this.free.pop() ?? this.next++
    this.setIdle(id)
    return id
  }

  /** Of an id that is a link. */
  linkOf(id: number): LinkKey {
    return this.keys.keyOf(id)
  }

  groupOf(id: number): LinkKey {
    const special = this.specialOf(id)
    return special === undefined
      ? groupKeyIn(this.groupWidth, this.groupWidth === 0 ? undefined : this.linkOf(id))
      : special.group
  }

  /** Of an id that is not a link. */
  specialOf(id: number): Given | undefined {
    return this.special.size === 0 ? undefined : this.special.get(id)
  }

  /** How many times its value counts. */
  weightOf(id: number): number {
    const special = this.specialOf(id)
    return 1 + ((special === undefined ? this.keys.bytesOf(id) : textOf(special).length) >> 6)
  }

  // Who has it

  /** Numbers of subscriptions. Not to be kept. */
  holdersOf(id: number): Iterable<number> {
    return this.holders.of(id)
  }

  hold(id: number, subscription: number): void {
    this.holders.add(id, subscription)
  }

  letGo(id: number, subscription: number): void {
    this.holders.remove(id, subscription)
    if (!this.holders.has(id)) this.setIdle(id)
  }

  /** The open transaction gives it the subscription, which has it not, or does so no more. */
  note(id: number, subscription: number, enters: boolean): void {
    const noted = this.entering.get(id)
    if (enters && noted === undefined) {
      this.entering.set(id, new Set([subscription]))
      this.onIdle()
    } else if (enters) noted?.add(subscription)
    else if (noted?.delete(subscription) === true && noted.size === 0) this.entering.delete(id)
  }

  enteringTo(id: number): Iterable<number> {
    return this.entering.get(id) ?? nobody
  }

  private setIdle(id: number): void {
    this.idle.add(id)
    this.onIdle()
  }

  /** No transaction is open any more: forgets what nobody has, and what was noted. */
  sweep(): void {
    this.entering.clear()
    for (const id of this.idle) {
      if (this.holders.has(id)) continue
      const special = this.special.get(id)
      this.weight.extra -= this.weightOf(id) - 1
      if (special === undefined) this.keys.delete(id)
      else {
        this.special.delete(id)
        this.specialIds.delete(textOf(special))
      }
      this.free.push(id)
    }
    this.idle.clear()
    this.holders.tidy()
  }
}

const nobody: ReadonlyArray<number> = []

const textOf = ({ group, parts, value }: Given): string =>
  JSON.stringify([
    typeof group,
    String(group),
    value === undefined
      ? parts.map((part) => (part === null ? null : `${typeof part}:${String(part)}`))
      : value.text
  ])
