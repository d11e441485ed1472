import { Effect, Semaphore } from "effect"
import type { CatalogueLook, KnownTables } from "../../postgres/catalogue/CatalogueLook.ts"
import type { MembersLook } from "../../postgres/catalogue/MembersLook.ts"
import { type Facts, isAnother } from "../../postgres/ObjectLook.ts"
import type { StoredForm } from "../../postgres/catalogue/RewriteLook.ts"
import type { ShapesByTable } from "../../shapes/ShapesByTable.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { type JsonPart, jsonPart, WrittenMap } from "../../storage/records/JsonParts.ts"

/** Where a record outlives the process. */
export interface RecordFile {
  /** `undefined` when there is none, or it is damaged. */
  readonly read: Effect.Effect<unknown>
  /** A text of JSON. Says whether it has succeeded. */
  readonly write: (content: ReadonlyArray<JsonPart>) => Effect.Effect<boolean>
}

interface Content {
  readonly publication: string
  readonly objects?: ReadonlyArray<readonly [key: string, facts: Facts]>
  readonly members: ReadonlyArray<readonly [oid: number, members: ReadonlyArray<string>]>
  readonly stored?: ReadonlyArray<readonly [oid: number, form: StoredForm]>
}

/**
 * How tables were published when their first shapes were made, and at every look since then: rows of the catalogue, by
 * their identities, so that a table that left the publication and came back, or a publication that was altered and altered
 * back, is told from one to which nothing has happened. How the rows of tables were stored when shapes had all of their values. And what the
 * objects were like that conditions use. Outlives session and process, because nobody looks in between. What
 * it does not know counts as unchanged.
 */
export class CatalogueRecord implements KnownTables {
  private readonly file: RecordFile | undefined
  private readonly objects = new WrittenMap<string, Facts>()
  private readonly members = new WrittenMap<number, ReadonlyArray<string>>()
  private readonly stored = new WrittenMap<number, StoredForm>()
  /** Shapes on these tables are being compared, and have all values of this form once that is done. */
  private readonly awaited = new Map<number, StoredForm>()
  private shapes: ShapesByTable<ShapeState> | undefined
  private current = ""
  private readonly turn = Semaphore.makeUnsafe(1)
  private isKept = true
  private isWriting = false

  /** Without a file it lasts as long as the process, as shapes in memory do. */
  constructor(file: RecordFile | undefined) {
    this.file = file
  }

  get publication(): string {
    return this.current
  }

  readonly membersOf = (oid: number): ReadonlyArray<string> | undefined => this.members.get(oid)

  readonly storedOf = (oid: number): StoredForm | undefined => this.awaited.get(oid) ?? this.stored.get(oid)

  /** Takes what the holder of the lock before has left. Call with the lock held. */
  readonly load: Effect.Effect<void> = Effect.suspend(() =>
    this.file === undefined
      ? Effect.void
      : Effect.map(this.file.read, (content) => {
          this.clear()
          const {
            members = [],
            objects = [],
            publication = "",
            stored = []
          } = isContent(content) ? content : {}
          for (const [key, facts] of objects) this.objects.set(key, facts)
          this.current = publication
          for (const [oid, of] of members) this.members.set(oid, of)
          for (const [oid, form] of stored) this.stored.set(oid, form)
          this.isKept = true
        })
  )

  /** The session begins: only what concerns its shapes counts on. */
  begin(shapes: ShapesByTable<ShapeState>): void {
    this.shapes = shapes
    if (this.isUnused) this.current = ""
    this.awaited.clear()
    for (const oid of this.members.keys()) if (!shapes.isInUse(oid)) this.members.delete(oid)
    for (const oid of this.stored.keys()) if (!shapes.isInUse(oid)) this.stored.delete(oid)
    for (const key of this.objects.keys()) if (shapes.using(key).size === 0) this.objects.delete(key)
  }

  /** Shapes are about to be compared with the database: nothing that was before says anything of them. */
  forget(shapes: ShapesByTable<ShapeState>): void {
    this.shapes = shapes
    this.current = ""
    this.clear()
    this.isKept = false
  }

  private clear(): void {
    this.members.clear()
    this.objects.clear()
    this.stored.clear()
    this.awaited.clear()
  }

  /** Whether everything is known that shapes of the tables are to be compared with, whose conditions use these objects. */
  covers(oids: ReadonlyArray<number>, uses: ReadonlyArray<string>): boolean {
    const { shapes } = this
    return (
      shapes !== undefined &&
      oids.every((oid) => shapes.isInUse(oid) && this.members.has(oid)) &&
      uses.every((key) => this.objects.has(key) && shapes.using(key).size > 0)
    )
  }

  /** Those that are not any more what they were. */
  altered(objects: ReadonlyMap<string, Facts>): ReadonlyArray<string> {
    return [...objects]
      .filter(([key, now]) => isAnother(this.objects.get(key) ?? "", now))
      .map(([key]) => key)
  }

  /**
   * A look at the tables of which a shape is about to be made, before the shape's rows are read. What shapes that are there
   * already have to be compared with stays as it is.
   */
  add(look: MembersLook): Effect.Effect<void> {
    if (this.current === "" || this.isUnused) this.setPublication(look.publication)
    for (const [oid, { members, stored }] of look.tables) {
      const isNew = !this.members.has(oid) || this.shapes?.isInUse(oid) === false
      if (isNew) this.setMembers(oid, members)
      if (isNew) this.setStored(oid, stored)
    }
    return this.keep
  }

  /** The same of objects that the shape's condition uses. */
  addObjects(objects: ReadonlyMap<string, Facts>): Effect.Effect<void> {
    for (const [key, facts] of objects)
      if (!this.objects.has(key) || this.shapes?.using(key).size === 0) this.setObject(key, facts)
    return this.keep
  }

  /**
   * Everything that a look has found has been taken care of, durably, but for tables whose shapes are being compared because their rows
   * may have got other values: see `compared`.
   */
  replace(
    look: CatalogueLook,
    objects: ReadonlyMap<string, Facts>,
    rewritten: Iterable<number> = []
  ): Effect.Effect<void> {
    for (const oid of rewritten) this.awaited.set(oid, "")
    for (const [key, facts] of objects) this.setObject(key, facts)
    this.setPublication(look.publication)
    for (const [oid, { members, stored }] of look.tables) {
      this.setMembers(oid, members)
      if (this.awaited.has(oid)) this.awaited.set(oid, stored)
      else this.setStored(oid, stored)
    }
    return this.keep
  }

  /** Shapes on the table are being compared because its rows may have got other values; they have all of this form once that is done. */
  awaits(oid: number, stored: StoredForm): void {
    this.awaited.set(oid, stored)
  }

  /** Shapes on these tables may have been compared by now, which `isUnderWay` tells. */
  compared(isUnderWay: (oid: number) => boolean): Effect.Effect<void> {
    let isAny = false
    for (const [oid, stored] of this.awaited) {
      if (isUnderWay(oid)) continue
      this.awaited.delete(oid)
      this.setStored(oid, stored)
      isAny = true
    }
    return isAny ? this.keep : Effect.void
  }

  private get isUnused(): boolean {
    return this.shapes === undefined || this.shapes.isEmpty
  }

  private setPublication(publication: string): void {
    if (publication === this.current) return
    this.current = publication
    this.isKept = false
  }

  private setStored(oid: number, stored: StoredForm): void {
    if (stored === this.stored.get(oid)) return
    this.stored.set(oid, stored)
    this.isKept = false
  }

  private setObject(key: string, facts: Facts): void {
    if (facts === this.objects.get(key)) return
    this.objects.set(key, facts)
    this.isKept = false
  }

  private setMembers(oid: number, members: ReadonlyArray<string>): void {
    if (String(this.members.get(oid)) === String(members)) return
    this.members.set(oid, members)
    this.isKept = false
  }

  /** Completes when the file has it, or the disk refuses: then it is tried again with the next addition or look. */
  private readonly keep: Effect.Effect<void> = Effect.suspend(() => {
    const { file } = this
    return file === undefined || (this.isKept && !this.isWriting)
      ? Effect.void
      : this.turn.withPermit(Effect.suspend(() => (this.isKept ? Effect.void : this.writeTo(file))))
  })

  /** A `Content`. It is written for every few tables that get their first shapes, however many there are already. */
  private content(): ReadonlyArray<JsonPart> {
    return [
      jsonPart(`{"publication":${JSON.stringify(this.current)},"members":`),
      ...this.members.parts(),
      jsonPart(`,"stored":`),
      ...this.stored.parts(),
      jsonPart(`,"objects":`),
      ...this.objects.parts(),
      jsonPart("}")
    ]
  }

  private writeTo(file: RecordFile): Effect.Effect<void> {
    this.isKept = true
    this.isWriting = true
    return Effect.map(file.write(this.content()), (isWritten) => {
      this.isWriting = false
      if (!isWritten) this.isKept = false
    })
  }
}

const isContent = (content: unknown): content is Content =>
  typeof content === "object" && content !== null && "publication" in content && "members" in content
