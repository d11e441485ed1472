import { readFileSync } from "node:fs"

/** `docs/design.md`, with one space around each cell of its tables, however they are laid out. */
export const designPage = (): string =>
  readFileSync(new URL("../docs/design.md", import.meta.url), "utf8").replace(/ +\|$| +\|(?= )/gm, " |")
