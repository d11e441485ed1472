/**
 * What Postgres knows about types, operators, functions, casts and collations, as plain data with indexes for
 * name resolution. Immutable: a newer catalogue is a new object.
 * Source: PostgreSQL documentation, "System Catalogs".
 */
export interface TypeEntry {
  readonly oid: number
  readonly name: string
  readonly schema: string
  /** `pg_type.typtype` */
  readonly kind: "b" | "c" | "d" | "e" | "p" | "r" | "m"
  readonly category: string
  readonly preferred: boolean
  /** Element type of a true (variable-length) array type, else 0. */
  readonly element: number
  /** The array type over this type, 0 when there is none. */
  readonly array: number
  /** Base type of a domain (one step), else 0. */
  readonly base: number
  readonly baseTypmod: number
  readonly collation: number
  readonly delimiter: string
  /** A domain with NOT NULL or CHECK constraints at any level. */
  readonly constrained: boolean
  /** The function a modifier such as `(10,2)` goes through exists. */
  readonly hasModifier: boolean
  /** Labels of an enum, in sort order. */
  readonly labels: ReadonlyArray<string> | undefined
  /** Sub-type of a range or, for a multirange, its range type. */
  readonly subtype: number
  readonly subtypeCollation: number
  /** The multirange type of a range, else 0. */
  readonly multirange: number
  /** A discrete range type: values have a canonical form. */
  readonly canonical: boolean
  /** Fields of a composite type, without dropped ones. */
  readonly fields:
    | ReadonlyArray<{
        readonly name: string
        readonly type: number
        readonly typmod: number
        readonly collation: number
      }>
    | undefined
}

export interface OperatorEntry {
  readonly oid: number
  readonly name: string
  readonly schema: string
  /** 0 for a prefix operator. */
  readonly left: number
  readonly right: number
  readonly result: number
  readonly function: number
}

export interface FunctionEntry {
  readonly oid: number
  readonly name: string
  readonly schema: string
  /** `pg_proc.prokind`: function, aggregate, window function, procedure. */
  readonly kind: "f" | "a" | "w" | "p"
  /** `pg_proc.provolatile`: immutable, stable, volatile. */
  readonly volatility: "i" | "s" | "v"
  readonly strict: boolean
  /** `pg_proc.proleakproof`: says nothing of its arguments but by its result. Left out by earlier versions. */
  readonly leakproof?: boolean
  readonly returnsSet: boolean
  readonly args: ReadonlyArray<number>
  readonly result: number
  /** Element type of the VARIADIC argument, 0 when there is none. */
  readonly variadic: number
  readonly defaults: number
  /** `internal` functions are identified by their C symbol. */
  readonly internal: boolean
  readonly symbol: string
  /** Names of the arguments, where some have defaults: such functions are called by name. */
  readonly argNames: ReadonlyArray<string> | null
}

export interface CastEntry {
  readonly source: number
  readonly target: number
  /** 0 when the cast needs no function. */
  readonly function: number
  readonly context: "implicit" | "assignment" | "explicit"
  readonly method: "function" | "text" | "binary"
}

export interface CollationEntry {
  readonly oid: number
  readonly name: string
  readonly schema: string
  readonly deterministic: boolean
  /** `d` database default, `c` libc, `i` ICU, `b` builtin. */
  readonly provider: string
  readonly locale: string
}

export interface CatalogueData {
  /** What `versionQuery` said before the rest was read. Left out by earlier versions. */
  readonly version?: string
  readonly serverVersion: number
  readonly searchPath: ReadonlyArray<string>
  /** The collation that oid 100 (`default`) stands for in this database. */
  readonly defaultCollation: { readonly provider: string; readonly locale: string }
  readonly encoding: string
  readonly types: ReadonlyArray<TypeEntry>
  readonly operators: ReadonlyArray<OperatorEntry>
  readonly functions: ReadonlyArray<FunctionEntry>
  readonly casts: ReadonlyArray<CastEntry>
  readonly collations: ReadonlyArray<CollationEntry>
}

export class TypeCatalogue {
  /** What this was made of; plain data. */
  readonly data: CatalogueData
  readonly serverVersion: number
  readonly searchPath: ReadonlyArray<string>
  readonly defaultCollation: { readonly provider: string; readonly locale: string }
  readonly encoding: string
  private readonly typesByOid = new Map<number, TypeEntry>()
  private readonly typesByName = new Map<string, Array<TypeEntry>>()
  private readonly operatorsByName = new Map<string, Array<OperatorEntry>>()
  private readonly functionsByOid = new Map<number, FunctionEntry>()
  private readonly functionsByName = new Map<string, Array<FunctionEntry>>()
  private readonly castsByPair = new Map<string, CastEntry>()
  private readonly collationsByOid = new Map<number, CollationEntry>()
  private readonly collationsByName = new Map<string, Array<CollationEntry>>()
  private readonly visibleOperators = new Map<string, ReadonlyArray<OperatorEntry>>()
  private readonly pathRank = new Map<string, number>()

  constructor(data: CatalogueData) {
    this.data = data
    this.serverVersion = data.serverVersion
    this.searchPath = data.searchPath
    this.defaultCollation = data.defaultCollation
    this.encoding = data.encoding
    data.searchPath.forEach((schema, i) => {
      if (!this.pathRank.has(schema)) this.pathRank.set(schema, i)
    })
    for (const entry of data.types) {
      this.typesByOid.set(entry.oid, entry)
      push(this.typesByName, entry.name, entry)
    }
    for (const entry of data.operators) push(this.operatorsByName, entry.name, entry)
    for (const entry of data.functions) {
      this.functionsByOid.set(entry.oid, entry)
      push(this.functionsByName, entry.name, entry)
    }
    for (const entry of data.casts) this.castsByPair.set(`${entry.source}>${entry.target}`, entry)
    for (const entry of data.collations) {
      this.collationsByOid.set(entry.oid, entry)
      push(this.collationsByName, entry.name, entry)
    }
  }

  type(oid: number): TypeEntry | undefined {
    return this.typesByOid.get(oid)
  }

  function(oid: number): FunctionEntry | undefined {
    return this.functionsByOid.get(oid)
  }

  collation(oid: number): CollationEntry | undefined {
    return this.collationsByOid.get(oid)
  }

  cast(source: number, target: number): CastEntry | undefined {
    return this.castsByPair.get(`${source}>${target}`)
  }

  /** The type a possibly schema-qualified name means: the first one on the search path. */
  typeNamed(schema: string | undefined, name: string): TypeEntry | undefined {
    return this.first(this.typesByName.get(name), schema)
  }

  collationNamed(schema: string | undefined, name: string): CollationEntry | undefined {
    return this.first(this.collationsByName.get(name), schema)
  }

  /** Operators visible under a name, nearest schema first; one entry per signature. */
  operatorsNamed(schema: string | undefined, name: string): ReadonlyArray<OperatorEntry> {
    const known = schema === undefined ? this.visibleOperators.get(name) : undefined
    if (known !== undefined) return known
    const found = this.visible(
      this.operatorsByName.get(name),
      schema,
      (entry) => `${entry.left},${entry.right}`
    )
    // Names that exist only: what clients invent is not remembered.
    if (schema === undefined && found.length > 0) this.visibleOperators.set(name, found)
    return found
  }

  /** Functions visible under a name, nearest schema first; one entry per signature. */
  functionsNamed(schema: string | undefined, name: string): ReadonlyArray<FunctionEntry> {
    return this.visible(this.functionsByName.get(name), schema, (entry) => entry.args.join(","))
  }

  /** Every operator, for documentation. */
  allOperators(): ReadonlyArray<OperatorEntry> {
    return [...this.operatorsByName.values()].flat()
  }

  /** Every function, for documentation. */
  allFunctions(): ReadonlyArray<FunctionEntry> {
    return [...this.functionsByOid.values()]
  }

  /** Another schema is searched before `pg_catalog`: what is Postgres' own has to be called so. */
  get shadowsBuiltins(): boolean {
    return this.searchPath[0] !== "pg_catalog"
  }

  /** Follows a chain of domains to its base type. */
  baseType(oid: number): number {
    let entry = this.typesByOid.get(oid)
    while (entry !== undefined && entry.kind === "d") {
      oid = entry.base
      entry = this.typesByOid.get(oid)
    }
    return oid
  }

  private first<A extends { readonly schema: string }>(
    entries: ReadonlyArray<A> | undefined,
    schema: string | undefined
  ): A | undefined {
    if (entries === undefined) return undefined
    if (schema !== undefined) return entries.find((entry) => entry.schema === schema)
    let best: A | undefined
    let bestRank = Infinity
    for (const entry of entries) {
      const rank = this.pathRank.get(entry.schema) ?? Infinity
      if (rank < bestRank) {
        best = entry
        bestRank = rank
      }
    }
    return best
  }

  private visible<A extends { readonly schema: string }>(
    entries: ReadonlyArray<A> | undefined,
    schema: string | undefined,
    signature: (entry: A) => string
  ): ReadonlyArray<A> {
    if (entries === undefined) return []
    if (schema !== undefined) return entries.filter((entry) => entry.schema === schema)
    const nearest = new Map<string, A>()
    for (const entry of entries) {
      const rank = this.pathRank.get(entry.schema)
      if (rank === undefined) continue
      const key = signature(entry)
      const known = nearest.get(key)
      if (known === undefined || rank < (this.pathRank.get(known.schema) ?? Infinity)) nearest.set(key, entry)
    }
    return [...nearest.values()]
  }
}

const push = <A>(map: Map<string, Array<A>>, key: string, value: A): void => {
  const known = map.get(key)
  if (known === undefined) map.set(key, [value])
  else known.push(value)
}
