import type { DefinitionTemplate } from "../../shapes/InternDefinition.ts"
import { withClause } from "../../shapes/InternDefinition.ts"
import { packDefinition, type PackedDefinition } from "../../shapes/PackedDefinition.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { WhereClause } from "../../where/index.ts"
import { writePlainShape } from "../state/DormantRecord.ts"
import type { DormantShapes } from "../state/DormantShapes.ts"
import { noChunks, type SnapshotChunk } from "../state/ShapeFields.ts"
import { ShapeState } from "../state/ShapeState.ts"
import type { ShapeRow } from "./CheckpointRow.ts"

/** A form of clause: what stands behind that in which clauses of the form differ. */
interface KnownForm {
  readonly common: ShapeDefinition
  readonly between: string
  readonly behind: string
  readonly template: DefinitionTemplate
}

const head = '{"sql":"'
const constantsBegin = '"constants":['
const mostForms = 1000

/** `[[bytes, checksum]]` */
const oneChunk = /^\[\[([0-9]{1,15}),([0-9]{1,10})\]\]$/

type OwnParts = Pick<PackedDefinition, "constants" | "sql" | "template">

/**
 * Makes dormant shapes of rows of a checkpoint without making objects of what is in them. That is possible for nearly all of very many:
 * they have no log of their own, and a clause of a form that has come before. The others are left to `shapeOf`.
 */
export class PlainRows {
  private readonly dormant: DormantShapes
  /** By what stands between the text of the condition and its constants. */
  private readonly forms = new Map<string, Array<KnownForm>>()
  private formCount = 0
  /** The form of the last one: that of the next one, mostly. */
  private last: KnownForm | undefined

  constructor(dormant: DormantShapes) {
    this.dormant = dormant
  }

  /** `undefined` for a row that is of another kind. */
  shapeOf(row: ShapeRow, common: ShapeDefinition): ShapeState | undefined {
    const { complete, files, xmax, xmin } = row
    if (files !== "[]" || complete !== 1 || xmin === null || xmax === null) return undefined
    const chunks = chunksOf(row.chunks)
    if (chunks === undefined) return undefined
    const own = row.clause === null ? withoutClause(common) : this.partsOf(row.clause, common)
    if (own === undefined) return undefined
    const record = writePlainShape(
      {
        id: row.id,
        handle: row.handle,
        identity: row.identity,
        sql: own.sql,
        constants: own.constants,
        chunks,
        createdAtMillis: row.created_millis,
        lastUsedMillis: row.used_millis,
        visibility: `${xmin} ${xmax} ${row.xip ?? ""} ${row.filter_until ?? ""}`
      },
      this.dormant.numberOf(own.template),
      "_tag" in chunks ? chunks.bytes : 0
    )
    const place = this.dormant.add(record)
    return place === undefined ? undefined : new ShapeState(row.id, place, this.dormant)
  }

  private partsOf(clause: string, common: ShapeDefinition): OwnParts | undefined {
    const sqlEnd = endOfText(clause, head.length)
    if (sqlEnd < 0 || !clause.startsWith(head)) return undefined
    const { last } = this
    if (last !== undefined && clause.startsWith(last.between, sqlEnd)) {
      const parts = partsBy(last, clause, common, sqlEnd)
      if (parts !== undefined) return parts
    }
    const begin = clause.indexOf(constantsBegin, sqlEnd)
    if (begin < 0) return wholly(clause, common)
    const start = begin + constantsBegin.length
    const between = clause.slice(sqlEnd, start)
    for (const form of this.forms.get(between) ?? []) {
      const parts = partsBy(form, clause, common, sqlEnd)
      if (parts === undefined) continue
      this.last = form
      return parts
    }
    return this.learn(clause, common, between, start)
  }

  /** The first of its form is taken apart as any other text is, and what others have in common with it is remembered. */
  private learn(clause: string, common: ShapeDefinition, between: string, start: number): OwnParts {
    const own = wholly(clause, common)
    if (own.sql === undefined || own.template.form === undefined) return own
    if (this.formCount >= mostForms) return own
    const texts = JSON.stringify(typeof own.constants === "string" ? [own.constants] : own.constants)
    // The list ends where its text does, if it is written as we write it.
    if (!clause.startsWith(texts.slice(1), start)) return own
    const form = { common, between, behind: clause.slice(start + texts.length - 2), template: own.template }
    const known = this.forms.get(between)
    if (known === undefined) this.forms.set(between, [form])
    else known.push(form)
    this.formCount++
    return own
  }
}

/** `undefined` for a clause of another form. What stands between is that of the form. */
const partsBy = (
  { behind, between, common: formCommon, template }: KnownForm,
  clause: string,
  common: ShapeDefinition,
  sqlEnd: number
): OwnParts | undefined => {
  if (formCommon !== common || !clause.endsWith(behind)) return undefined
  const constants = constantsOf(clause.slice(sqlEnd + between.length, clause.length - behind.length))
  return constants === undefined
    ? undefined
    : { sql: textIn(clause, head.length, sqlEnd), constants, template }
}

const wholly = (clause: string, common: ShapeDefinition): OwnParts =>
  packDefinition(withClause(common, JSON.parse(clause) as WhereClause))

const withoutClause = (common: ShapeDefinition): OwnParts => packDefinition(common)

/** Where a text of JSON ends that begins there, behind its quotation mark: at the next one without an odd number of backslashes before it. */
const endOfText = (json: string, from: number): number => {
  for (let end = json.indexOf('"', from); ; end = json.indexOf('"', end + 1)) {
    if (end < 0) return end
    let before = end
    while (before > from && json[before - 1] === "\\") before--
    if ((end - before) % 2 === 0) return end
  }
}

const textIn = (json: string, from: number, end: number): string => {
  const text = json.slice(from, end)
  return text.includes("\\") ? (JSON.parse(`"${text}"`) as string) : text
}

/** What stands between the brackets of a list of texts. `undefined` where it is no such list. */
const constantsOf = (texts: string): PackedDefinition["constants"] | undefined => {
  if (texts === "") return []
  const inner = texts.slice(1, -1)
  if (texts.length > 1 && !/["\\]/.test(inner) && texts.startsWith('"') && texts.endsWith('"')) return inner
  try {
    const all = JSON.parse(`[${texts}]`) as Array<string>
    return all.length === 1 ? all[0] : all
  } catch {
    return undefined
  }
}

const chunksOf = (text: string): SnapshotChunk | ReadonlyArray<SnapshotChunk> | undefined => {
  if (text === "[]") return noChunks
  const [, bytes, crc] = oneChunk.exec(text) ?? []
  return bytes === undefined || crc === undefined
    ? undefined
    : { _tag: "File", bytes: Number(bytes), crc: Number(crc) }
}
