import type { LinkKey } from "../where/index.ts"

/** What a row gives to a sub-select: its values of `group`, none of them NULL, and of `select`. */
export interface Given {
  readonly group: LinkKey
  /** Of `group` and `select`, `null` where a value of `select` is NULL. */
  readonly link: LinkKey
  /** The keys of the values of `select`, `null` for NULL. */
  readonly parts: ReadonlyArray<unknown>
  /** For a sub-select that is asked for its value: the value itself, and a text that tells it from others. */
  readonly value?: { readonly of: unknown; readonly text: string | null }
}

/**
 * Small integers for what rows give to the sub-selects of one kind, and which sub-selects have each. An id stands for equal
 * gifts as long as one of them has it; those that nobody has go at the next `sweep`.
 */
export class Links {
  private readonly ids = new Map<LinkKey, number>()
  private readonly links: Array<LinkKey> = []
  /** Only where there are groups with several links. */
  private readonly groups: Array<LinkKey> | undefined
  /** Gifts that are not identified by a link: they have a NULL, or their value matters as it is. */
  private readonly special = new Map<number, Given>()
  private readonly specialIds = new Map<string, number>()
  private readonly holders: Array<number | Array<number> | Set<number> | undefined> = []
  private readonly free: Array<number> = []
  private readonly idle = new Set<number>()
  /** Whom the open transaction gives an id that they have not. */
  private readonly entering = new Map<number, Set<number>>()
  private readonly onIdle: (links: Links) => void

  /** `onIdle`: there may be something to sweep, or to settle. */
  constructor(grouped: boolean, onIdle: (links: Links) => void) {
    this.groups = grouped ? [] : undefined
    this.onIdle = onIdle
  }

  /** Of a link, if somebody has it. */
  find(link: LinkKey): number | undefined {
    return this.ids.get(link)
  }

  id(given: Given): number {
    if (given.link !== null && given.value === undefined) {
      let id = this.ids.get(given.link)
      if (id === undefined) {
        id = this.take(given)
        this.ids.set(given.link, id)
      }
      return id
    }
    const text = textOf(given)
    let id = this.specialIds.get(text)
    if (id === undefined) {
      id = this.take(given)
      this.specialIds.set(text, id)
      this.special.set(id, given)
    }
    return id
  }

  private take({ group, link }: Given): number {
    const id = this.free.pop() ?? this.links.length
    this.links[id] = link
    if (this.groups !== undefined) this.groups[id] = group
    this.holders[id] = undefined
    this.setIdle(id)
    return id
  }

  linkOf(id: number): LinkKey {
    return this.links[id]
  }

  /** Of a kind without correlation there is one group. */
  groupOf(id: number): LinkKey {
    return this.groups === undefined ? "" : this.groups[id]
  }

  /** Of an id that is not a link. */
  specialOf(id: number): Given | undefined {
    return this.special.size === 0 ? undefined : this.special.get(id)
  }

  // Who has it

  /** Numbers of subscriptions. Not to be kept. */
  holdersOf(id: number): Iterable<number> {
    const holders = this.holders[id]
    return holders === undefined ? nobody : typeof holders === "number" ? [holders] : holders
  }

  hold(id: number, subscription: number): void {
    const holders = this.holders[id]
    if (holders === undefined) this.holders[id] = subscription
    else if (typeof holders === "number") this.holders[id] = [holders, subscription]
    else if (!Array.isArray(holders)) holders.add(subscription)
    else if (holders.length < mostListed) this.holders[id] = [...holders, subscription]
    else this.holders[id] = new Set(holders).add(subscription)
  }

  letGo(id: number, subscription: number): void {
    const holders = this.holders[id]
    if (holders === subscription) {
      this.holders[id] = undefined
      this.setIdle(id)
    } else if (Array.isArray(holders)) {
      const rest = holders.filter((one) => one !== subscription)
      this.holders[id] = rest.length === 1 ? rest[0] : rest
    } else if (typeof holders === "object") {
      holders.delete(subscription)
      if (holders.size <= mostListed / 2) this.holders[id] = Array.from(holders)
    }
  }

  /** The open transaction gives it the subscription, which has it not, or does so no more. */
  note(id: number, subscription: number, enters: boolean): void {
    const noted = this.entering.get(id)
    if (enters && noted === undefined) {
      this.entering.set(id, new Set([subscription]))
      this.onIdle(this)
    } else if (enters) noted?.add(subscription)
    else if (noted?.delete(subscription) === true && noted.size === 0) this.entering.delete(id)
  }

  enteringTo(id: number): Iterable<number> {
    return this.entering.get(id) ?? nobody
  }

  private setIdle(id: number): void {
    this.idle.add(id)
    this.onIdle(this)
  }

  /** No transaction is open any more: forgets what nobody has, and what was noted. */
  sweep(): void {
    this.entering.clear()
    for (const id of this.idle) {
      if (this.holders[id] !== undefined) continue
      const special = this.special.get(id)
      if (special === undefined) this.ids.delete(this.links[id])
      else {
        this.special.delete(id)
        this.specialIds.delete(textOf(special))
      }
      this.links[id] = null
      if (this.groups !== undefined) this.groups[id] = null
      this.free.push(id)
    }
    this.idle.clear()
  }
}

const mostListed = 64
const nobody: ReadonlyArray<number> = []

const textOf = ({ group, parts, value }: Given): string =>
  JSON.stringify([
    typeof group,
    String(group),
    value === undefined
      ? parts.map((part) => (part === null ? null : `${typeof part}:${String(part)}`))
      : value.text
  ])
