/**
 * Reads the YAML that our deployment examples are written in, and refuses all other: block mappings and sequences, plain
 * scalars, and JSON for everything in quotes, brackets or braces. No anchors, no multi-line scalars, no tags.
 */
export type Yaml = string | number | boolean | null | ReadonlyArray<Yaml> | { readonly [key: string]: Yaml }

interface Line {
  readonly number: number
  readonly indent: number
  readonly text: string
}

/** All documents of a file. Fails with the number of the line that it does not understand. */
export const parseYaml = (source: string): ReadonlyArray<Yaml> => {
  const documents: Array<Array<Line>> = [[]]
  for (const [i, raw] of source.split("\n").entries()) {
    const text = raw.trimEnd()
    if (text === "---") documents.push([])
    else if (text.trim() !== "" && !text.trimStart().startsWith("#")) {
      const indent = text.length - text.trimStart().length
      documents.at(-1)?.push({ number: i + 1, indent, text: text.trimStart() })
    }
  }
  return documents.filter((lines) => lines.length > 0).map((lines) => new Reader(lines).document())
}

const keyed = /^([A-Za-z0-9_./-]+):(?: (.*))?$/

class Reader {
  private readonly lines: Array<Line>
  private at = 0

  constructor(lines: ReadonlyArray<Line>) {
    this.lines = [...lines]
  }

  document(): Yaml {
    const value = this.block(0)
    const rest = this.lines[this.at]
    if (rest !== undefined) throw problem(rest, "is indented in a way that fits nothing above it")
    return value
  }

  private block(indent: number): Yaml {
    const first = this.lines[this.at]
    if (first === undefined || first.indent < indent) return null
    return isItem(first) ? this.sequence(first.indent) : this.mapping(first.indent)
  }

  private sequence(indent: number): Yaml {
    const items: Array<Yaml> = []
    for (;;) {
      const line = this.lines[this.at]
      if (line === undefined || line.indent !== indent || !isItem(line)) return items
      const text = line.text.slice(1).trimStart()
      if (text === "") {
        this.at++
        items.push(this.block(indent + 1))
      } else if (keyed.test(text)) {
        // A mapping that begins on the line of its dash is indented by what stands before it.
        const inner = indent + line.text.length - text.length
        this.lines[this.at] = { number: line.number, indent: inner, text }
        items.push(this.mapping(inner))
      } else {
        this.at++
        items.push(scalar(line, text))
      }
    }
  }

  private mapping(indent: number): Yaml {
    const entries: Record<string, Yaml> = {}
    for (;;) {
      const line = this.lines[this.at]
      if (line === undefined || line.indent !== indent || isItem(line)) return entries
      const [, key, text] = keyed.exec(line.text) ?? []
      if (key === undefined) throw problem(line, "is neither a key nor an item")
      if (key in entries) throw problem(line, `repeats the key ${key}`)
      this.at++
      entries[key] = text === undefined ? this.block(indent + 1) : scalar(line, text)
    }
  }
}

const isItem = ({ text }: Line): boolean => text === "-" || text.startsWith("- ")

const scalar = (line: Line, text: string): Yaml => {
  if (/^["[{]/.test(text)) {
    try {
      return JSON.parse(text) as Yaml
    } catch {
      throw problem(
        line,
        "is not JSON after the key, and this reader knows nothing else in quotes or brackets"
      )
    }
  }
  if (/^['&*!|>%@`?]|: | #/.test(text)) throw problem(line, "uses YAML that this reader does not know")
  if (text === "true" || text === "false") return text === "true"
  if (text === "null" || text === "~") return null
  return /^-?(0|[1-9][0-9]*)$/.test(text) ? Number(text) : text
}

const problem = (line: Line, what: string): Error => new Error(`Line ${line.number} ${what}: ${line.text}`)
