import { IdPages } from "../../shared/tables/IdPages.ts"
import { KeyIndex } from "../../shared/tables/KeyIndex.ts"
import type { DefinitionTemplate } from "../../shapes/InternDefinition.ts"
import { ShapesByTable } from "../../shapes/ShapesByTable.ts"
import { DormantShapes } from "./DormantShapes.ts"
import { handleHashIn, handleMicrosIn, idIn, identityHashIn, readShape } from "./DormantRecord.ts"
import { hashOfHandle } from "../../shapes/HandleNumbers.ts"
import { hashOfIdentity } from "./IdentityDigest.ts"
import { ShapeState } from "./ShapeState.ts"

/** The live shapes, by id, handle, identity and table. Of those with one identity the last that was added has it. */
export class KnownShapes {
  private readonly byId = new IdPages<ShapeState>()
  private readonly handles = new KeyIndex((id) => this.byId.get(id)?.handle, hashOfHandle)
  private readonly identities = new KeyIndex((id) => this.byId.get(id)?.identity, hashOfIdentity)
  readonly byTable = new ShapesByTable<ShapeState>()
  /** Those whose first rows are not all there. */
  readonly unfinished = new Set<ShapeState>()
  /** What is kept of those that are dormant. */
  readonly dormant = new DormantShapes()
  /** Of all that were ever added. */
  highestId = 0
  /** Likewise; see `handleMicros`. */
  newestMicros = 0

  get count(): number {
    return this.byId.size
  }
  /** Those with this id and higher ones. */
  all(fromId = 0): Generator<ShapeState, undefined> {
    return this.byId.values(fromId)
  }
  get(id: number): ShapeState | undefined {
    return this.byId.get(id)
  }
  byHandle(handle: string): ShapeState | undefined {
    return this.found(this.handles.get(handle))
  }
  byIdentity(identity: string): ShapeState | undefined {
    return this.found(this.identities.get(identity))
  }
  private found(id: number | undefined): ShapeState | undefined {
    return id === undefined ? undefined : this.byId.get(id)
  }

  /** `handle` and `identity` are its: one that is dormant would have to make texts of them. */
  add(shape: ShapeState, handle = shape.handle, identity = shape.identity): void {
    this.byId.set(shape.id, shape)
    this.handles.set(handle, shape.id)
    this.identities.set(identity, shape.id)
    this.added(shape, shape.template, shape.handleMicros)
    if (!shape.snapshotComplete) this.unfinished.add(shape)
  }
  private added(shape: ShapeState, template: DefinitionTemplate, handleMicros: number | undefined): void {
    this.byTable.add(shape, template)
    if (shape.id > this.highestId) this.highestId = shape.id
    if (handleMicros !== undefined && handleMicros > this.newestMicros) this.newestMicros = handleMicros
  }
  /**
   * The shape of a record that a checkpoint holds; `template` is that of its definition. Of those with one identity the highest id
   * has it, in whichever order they are added.
   */
  addStored(bytes: Buffer, start: number, length: number, template: DefinitionTemplate): void {
    const id = idIn(bytes, start)
    const place = this.dormant.addStored(bytes, start, length, template)
    // One that is too long to be dormant is awake.
    const shape =
      place === undefined
        ? new ShapeState(id, readShape(bytes, start, template, undefined))
        : new ShapeState(id, place, this.dormant)
    this.insert(shape, handleHashIn(bytes, start), identityHashIn(bytes, start))
    this.added(shape, template, handleMicrosIn(bytes, start))
  }
  /** The same for any other shape of a checkpoint. */
  addRead(shape: ShapeState, handle: string, identity: string): void {
    this.insert(shape, hashOfHandle(handle), hashOfIdentity(identity))
    this.added(shape, shape.template, shape.handleMicros)
    if (!shape.snapshotComplete) this.unfinished.add(shape)
  }
  private insert(shape: ShapeState, handleHash: number, identityHash: number): void {
    const { id } = shape
    this.byId.set(id, shape)
    this.handles.setHashed(handleHash, id)
    this.identities.setHashed(identityHash, id)
  }
  /** That so many will be there. */
  expect(count: number): void {
    this.handles.expect(count)
    this.identities.expect(count)
  }
  /** While `work` gives it another definition. */
  redefine(shape: ShapeState, work: () => void): void {
    this.identities.delete(shape.identity, shape.id)
    this.byTable.remove(shape)
    work()
    this.identities.set(shape.identity, shape.id)
    this.byTable.add(shape)
  }
  remove(shape: ShapeState): void {
    this.handles.delete(shape.handle, shape.id)
    this.identities.delete(shape.identity, shape.id)
    this.byTable.remove(shape)
    this.unfinished.delete(shape)
    this.byId.delete(shape.id)
  }
}
