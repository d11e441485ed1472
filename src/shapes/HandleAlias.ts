/**
 * Further names of a shape, `<handle>.<n>`: whoever has to start over although the shape lives on is told one, because clients
 * take no answer from the handle that they were told to give up. Every instance knows them, since they follow from the handle.
 */
const alias = /^(.+)\.(\d{1,15})$/

/** The handle that the shape itself has. */
export const plainHandle = (handle: string): string => alias.exec(handle)?.[1] ?? handle

/** Another name of the shape. */
export const nextAlias = (handle: string): string => {
  const [, plain = handle, n = "0"] = alias.exec(handle) ?? []
  return `${plain}.${Number(n) + 1}`
}

/**
 * The name by which a client is told of a shape: the one it uses, as long as it does not say that it was told to give that up.
 * `handle` and `expired` are what the request says of both, if it does.
 */
export const spokenHandle = (
  shape: { readonly handle: string },
  handle: unknown,
  expired: unknown
): string => {
  if (typeof handle === "string" && handle !== expired && plainHandle(handle) === shape.handle) return handle
  return typeof expired === "string" && plainHandle(expired) === shape.handle
    ? nextAlias(expired)
    : shape.handle
}
