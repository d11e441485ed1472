import type { Plot } from "./Plot.ts"

/** Values of options on the command line, e.g. `--rows 1000000`; a benchmark lists its own with their defaults. */
export type Options = Readonly<Record<string, number>>

/** One measured quantity. */
export interface Figure {
  readonly what: string
  readonly unit: string
  /** One value per run; the median counts. */
  readonly runs: ReadonlyArray<number>
  /** The same quantity of something that does the least possible work, taken in the same runs. */
  readonly floor?: { readonly is: string; readonly runs: ReadonlyArray<number> }
  /** How value and floor compare: `value / floor`, `floor / value` (1 is as good as the floor), or the difference. */
  readonly compare?: "rate" | "time" | "difference"
  readonly aim?: string
  readonly note?: string
}

export interface Result {
  readonly figures: ReadonlyArray<Figure>
  readonly plots?: ReadonlyArray<Plot>
  /** What was checked before a figure counted. */
  readonly checked: string
  readonly environment: ReadonlyArray<string>
}

export interface Benchmark {
  readonly name: string
  readonly summary: string
  /** Defaults of its options; `runs` is always among them. */
  readonly options: Options
  /** The options of a short run, which shows that everything works and gives rough figures. */
  readonly short: Options
  readonly run: (options: Options, say: (line: string) => void) => Promise<Result>
}

/** The value of an option; a benchmark may only ask for those that it lists. */
export const option = (options: Options, name: string): number => {
  const value = options[name]
  if (value === undefined) throw new Error(`There is no option --${name}.`)
  return value
}
