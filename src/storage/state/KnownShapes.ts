import { IdPages } from "../../shared/IdPages.ts"
import { KeyIndex } from "../../shared/KeyIndex.ts"
import { DormantShapes } from "./DormantShapes.ts"
import type { ShapeState } from "./ShapeState.ts"

/** The live shapes, by id, handle and identity. Of those with one identity the last that was added has it. */
export class KnownShapes {
  private readonly byId = new IdPages<ShapeState>()
  private readonly handles = new KeyIndex((id, handle) => this.byId.get(id)?.handle === handle)
  private readonly identities = new KeyIndex((id, identity) => this.byId.get(id)?.identity === identity)
  /** What is kept of those that are dormant. */
  readonly dormant = new DormantShapes()
  /** Of all that were ever added. */
  highestId = 0

  get count(): number {
    return this.byId.size
  }
  all(): Generator<ShapeState, undefined> {
    return this.byId.values()
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
    if (shape.id > this.highestId) this.highestId = shape.id
  }
  addIdentity({ id, identity }: ShapeState): void {
    this.identities.set(identity, id)
  }
  /** Before it becomes another. */
  removeIdentity({ id, identity }: ShapeState): void {
    this.identities.delete(identity, id)
  }
  remove(shape: ShapeState): void {
    this.handles.delete(shape.handle, shape.id)
    this.removeIdentity(shape)
    this.byId.delete(shape.id)
  }
}
