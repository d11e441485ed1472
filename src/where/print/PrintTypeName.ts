import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { identifier } from "../parse/Parser.ts"

/** SQL spellings that need no schema and mean the built-in type whatever the search path is. */
const builtin: Readonly<Record<string, string>> = {
  bool: "boolean",
  int2: "smallint",
  int4: "integer",
  int8: "bigint",
  float4: "real",
  float8: "double precision",
  numeric: "numeric",
  varchar: "character varying",
  bpchar: "bpchar",
  time: "time",
  timetz: "time with time zone",
  timestamp: "timestamp",
  timestamptz: "timestamp with time zone",
  interval: "interval",
  // Without quotes it would mean bit(1).
  bit: '"bit"',
  varbit: "bit varying"
}

const intervalFields: ReadonlyArray<readonly [number, string]> = [
  [4, "year"],
  [2, "month"],
  [8, "day"],
  [1024, "hour"],
  [2048, "minute"],
  [4096, "second"],
  [6, "year to month"],
  [1032, "day to hour"],
  [3080, "day to minute"],
  [7176, "day to second"],
  [3072, "hour to minute"],
  [7168, "hour to second"],
  [6144, "minute to second"]
]

const withModifier = (name: string, typmod: number): string => {
  if (typmod < 0 && name !== "interval") return builtin[name] ?? name
  switch (name) {
    case "varchar":
      return `character varying(${typmod - 4})`
    case "bpchar":
      return `character(${typmod - 4})`
    case "numeric": {
      const packed = typmod - 4
      return `numeric(${(packed >> 16) & 0xffff},${((packed & 0x7ff) ^ 1024) - 1024})`
    }
    case "time":
    case "timestamp":
      return `${name}(${typmod})`
    case "timetz":
      return `time(${typmod}) with time zone`
    case "timestamptz":
      return `timestamp(${typmod}) with time zone`
    case "bit":
      return `bit(${typmod})`
    case "varbit":
      return `bit varying(${typmod})`
    case "interval": {
      if (typmod === -1) return "interval"
      const precision = typmod & 0xffff
      const fields = intervalFields.find(([mask]) => mask === ((typmod >> 16) & 0x7fff))?.[1]
      const digits = precision === 0xffff ? "" : `(${precision})`
      return fields === undefined ? `interval${digits}` : `interval ${fields}${digits}`
    }
    default:
      return builtin[name] ?? name
  }
}

/** The name of a type of Postgres' own. */
export const builtinTypeName = (catalogue: TypeCatalogue, name: string): string =>
  builtin[name] ?? (catalogue.shadowsBuiltins ? `pg_catalog.${name}` : name)

/** A type's name with its modifier, so that Postgres reads exactly this type. */
export const typeName = (catalogue: TypeCatalogue, oid: number, typmod: number): string => {
  const entry = catalogue.type(oid)
  if (entry === undefined) return "text"
  if (entry.element !== 0) return `${typeName(catalogue, entry.element, typmod)}[]`
  if (entry.schema !== "pg_catalog") return `${identifier(entry.schema)}.${identifier(entry.name)}`
  if (Object.hasOwn(builtin, entry.name)) return withModifier(entry.name, typmod)
  const name = entry.name === "char" ? '"char"' : identifier(entry.name)
  return catalogue.shadowsBuiltins ? `pg_catalog.${name}` : name
}
