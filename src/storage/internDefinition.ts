import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"

const parts = new Map<string, WeakRef<object>>()
let additions = 0

const shared = <A extends object>(value: A): A => {
  const key = JSON.stringify(value)
  const known = parts.get(key)?.deref()
  // The key is the value's whole content, so what is found under it is equal to it.
  if (known !== undefined) return known as A
  parts.set(key, new WeakRef(value))
  if (++additions % 1000 === 0) {
    for (const [k, reference] of parts) if (reference.deref() === undefined) parts.delete(k)
  }
  return value
}

/** The same definition with the parts that many shapes have in common held in memory once. */
export const internDefinition = (definition: ShapeDefinition): ShapeDefinition => {
  const { where, ...rest } = definition
  const common = shared({ ...rest, where: undefined })
  return where === undefined ? common : { ...common, where }
}
