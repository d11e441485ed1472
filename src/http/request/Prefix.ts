/** The part of a target after the prefix; `undefined` when it lies elsewhere. */
export const stripPrefix = (target: string, prefix: string): string | undefined => {
  if (prefix === "") return target
  if (!target.startsWith(prefix)) return undefined
  const rest = target.slice(prefix.length)
  if (rest === "" || rest.startsWith("?")) return `/${rest}`
  return rest.startsWith("/") ? rest : undefined
}

/** `/sync/` and `sync` mean `/sync`; the root is the empty prefix. */
export const normalisePrefix = (prefix: string): string => {
  const trimmed = prefix.replace(/^\/+|\/+$/g, "")
  return trimmed === "" ? "" : `/${trimmed}`
}
