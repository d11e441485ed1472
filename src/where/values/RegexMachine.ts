import { undecided } from "./Failure.ts"
import { parseRegex, type Regex } from "./RegexParse.ts"
import { spend } from "./Work.ts"

const set = 0
const split = 1
const start = 2
const end = 3
const match = 4
const anchors = { start, end }

const maxNodes = 5000
/** Units of memory that the states of one machine may take; then they are built anew as they are met. */
const maxStateUnits = 100_000

/** A set of nodes, and where each character leads. */
interface State {
  readonly members: Int32Array
  readonly accepts: boolean
  readonly acceptsAtEnd: boolean
  readonly ascii: Array<State | undefined>
  readonly wide: Map<number, State>
}

interface CharacterSet {
  readonly ranges: ReadonlyArray<number>
  readonly negated: boolean
}

const contains = ({ ranges, negated }: CharacterSet, code: number): boolean => {
  for (let i = 0; i < ranges.length; i += 2) {
    if (code >= (ranges[i] ?? 0) && code <= (ranges[i + 1] ?? 0)) return !negated
  }
  return negated
}

/** A finite automaton. Every node that is made or visited is paid for. */
export class RegexMachine {
  usesClass = false
  private readonly kinds: Array<number> = []
  private readonly outs: Array<number> = []
  private readonly others: Array<number> = []
  private readonly sets: Array<CharacterSet | undefined> = []
  private readonly entry: number
  /** Nodes seen in the walk at hand have its number. */
  private readonly marks: Int32Array
  private walk = 0
  private states = new Map<string, State>()
  private stateUnits = 0
  private startState: State | undefined
  /** Told of every unit of memory. */
  private readonly take: (units: number) => void

  /** Throws `Undecided` for a pattern that only Postgres decides. */
  constructor(pattern: string, ignoreCase: boolean, take: (units: number) => void) {
    this.take = take
    spend(pattern.length * 8)
    this.add(match, -1)
    this.entry = this.build(parseRegex(pattern, ignoreCase), 0)
    this.marks = new Int32Array(this.kinds.length)
    take(this.kinds.length)
  }

  matches(text: string): boolean {
    if (text === "") return this.closure([this.entry], true, true).includes(0)
    let state = (this.startState ??= this.stateOf(this.closure([this.entry], true, false)))
    for (let i = 0; i < text.length; i++) {
      if (state.accepts) return true
      let code = text.charCodeAt(i)
      let next: State | undefined
      if (code < 128) {
        next = state.ascii[code]
        if (next === undefined) state.ascii[code] = next = this.step(state, code)
      } else {
        if ((code & 0xfc00) === 0xd800) code = text.codePointAt(i++) ?? 0
        next = state.wide.get(code)
        if (next === undefined) {
          next = this.step(state, code)
          state.wide.set(code, next)
        }
      }
      state = next
    }
    return state.accepts || state.acceptsAtEnd
  }

  private add(kind: number, out: number, other = -1, characters?: CharacterSet): number {
    if (this.kinds.length >= maxNodes) return undecided("a regular expression too large")
    this.kinds.push(kind)
    this.outs.push(out)
    this.others.push(other)
    this.sets.push(characters)
    return this.kinds.length - 1
  }

  /** Nodes for `regex` that continue at `next`; returns the entry. */
  private build(regex: Regex, next: number): number {
    // A repetition of nothing makes no nodes, but takes time all the same.
    spend(8)
    switch (regex.kind) {
      case "set":
        this.usesClass ||= regex.usesClass
        return this.add(set, next, -1, regex)
      case "start":
      case "end":
        return this.add(anchors[regex.kind], next)
      case "sequence": {
        let entry = next
        for (let i = regex.parts.length - 1; i >= 0; i--) {
          const part = regex.parts[i]
          if (part !== undefined) entry = this.build(part, entry)
        }
        return entry
      }
      case "choice":
        return regex.options
          .map((option) => this.build(option, next))
          .reduce((left, right) => this.add(split, left, right))
      case "repeat": {
        let entry = next
        if (regex.max === Infinity) {
          entry = this.add(split, -1, next)
          this.outs[entry] = this.build(regex.part, entry)
        } else {
          for (let i = regex.min; i < regex.max; i++)
            entry = this.add(split, this.build(regex.part, entry), next)
        }
        for (let i = 0; i < regex.min; i++) entry = this.build(regex.part, entry)
        return entry
      }
    }
  }

  /** Everything reachable from `from` without reading a character, in order. */
  private closure(from: ReadonlyArray<number>, atStart: boolean, atEnd: boolean): Int32Array {
    const { kinds, outs, others, marks } = this
    const walk = ++this.walk
    const stack = [...from]
    const found: Array<number> = []
    let visited = from.length
    for (let index = stack.pop(); index !== undefined; index = stack.pop()) {
      if (marks[index] === walk) continue
      marks[index] = walk
      visited++
      const kind = kinds[index]
      if (kind === split) stack.push(outs[index] ?? 0, others[index] ?? 0)
      else {
        found.push(index)
        if ((kind === start && atStart) || (kind === end && atEnd)) stack.push(outs[index] ?? 0)
      }
    }
    spend(visited * 4)
    return Int32Array.from(found).toSorted()
  }

  private stateOf(members: Int32Array): State {
    const key = String.fromCharCode(...members)
    const known = this.states.get(key)
    if (known !== undefined) return known
    const units = members.length + 50
    this.stateUnits += units
    if (this.stateUnits > maxStateUnits) {
      this.states = new Map()
      this.startState = undefined
      this.stateUnits = units
    }
    this.take(units)
    const state: State = {
      members,
      accepts: members.includes(0),
      acceptsAtEnd: this.closure(Array.from(members), false, true).includes(0),
      ascii: [],
      wide: new Map()
    }
    this.states.set(key, state)
    return state
  }

  private step(state: State, code: number): State {
    const targets = [this.entry]
    let compared = 0
    for (const index of state.members) {
      const characters = this.sets[index]
      if (characters === undefined) continue
      compared += 1 + (characters.ranges.length >> 1)
      if (contains(characters, code)) targets.push(this.outs[index] ?? 0)
    }
    spend(compared + 20)
    // The way from state to state takes memory as well.
    this.stateUnits += 2
    this.take(2)
    return this.stateOf(this.closure(targets, false, false))
  }
}
