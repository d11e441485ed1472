import { BoundedMap } from "../../shared/BoundedMap.ts"
import { codecOf } from "../values/Codecs.ts"
import { fail, undecided } from "../values/Failure.ts"
import { compileLike, likeEscape, type LikeMatcher } from "../values/Like.ts"
import { compileRegex, similarToRegex, type RegexMatcher } from "../values/Regex.ts"
import {
  characterCount,
  findText,
  cutVarchar,
  assignVarchar,
  hasSurrogates,
  holdsAt,
  initcapText,
  lowerText,
  padBpchar,
  sliceCharacters,
  splitText,
  trimBlanks,
  upperText
} from "../values/Text.ts"
import { spend, spendText } from "../values/Work.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"
import { toText } from "../values/ToText.ts"
import { createHash } from "node:crypto"
import { define, defineNullable, definePrepared, defineTyped, group, type Signature } from "./Native.ts"

group("pattern matching")

/** Patterns that are longer are compiled each time. */
const maxRemembered = 500

/** A small memory of compiled patterns, for patterns that come from the row. */
const remember = <A>(compile: (pattern: string) => A): ((pattern: unknown) => A) => {
  const known = new BoundedMap<string, A>(20)
  return (pattern) => {
    const text = String(pattern)
    if (text.length > maxRemembered) return compile(text)
    let found = known.get(text)
    if (found === undefined) known.set(text, (found = compile(text)))
    return found
  }
}

const likes = (): ((pattern: unknown) => LikeMatcher) => remember(compileLike)
const deterministic = (signature: Signature): boolean => signature.collation !== undefined
const foldable = (signature: Signature): boolean =>
  signature.collation !== undefined && signature.collation !== "opaque"

definePrepared(
  "textlike namelike",
  (signature) => (deterministic(signature) ? likes() : undefined),
  () => (text, matcher) => (matcher as LikeMatcher)(text as string)
)
definePrepared(
  "textnlike namenlike",
  (signature) => (deterministic(signature) ? likes() : undefined),
  () => (text, matcher) => !(matcher as LikeMatcher)(text as string)
)
/** Case-insensitive LIKE gets its first argument in lower case: the compiler wraps it in `lower`. */
const foldedLikes = (signature: Signature): ((pattern: unknown) => LikeMatcher) | undefined => {
  const { collation } = signature
  if (collation === undefined || !foldable(signature)) return undefined
  return remember((pattern) => compileLike(lowerText(pattern, collation)))
}
definePrepared(
  "texticlike nameiclike",
  foldedLikes,
  () => (text, matcher) => (matcher as LikeMatcher)(text as string)
)
definePrepared(
  "texticnlike nameicnlike",
  foldedLikes,
  () => (text, matcher) => !(matcher as LikeMatcher)(text as string)
)
define("like_escape", (pattern: string, escape: string) => likeEscape(pattern, escape))

const regexes =
  (ignoreCase: boolean) =>
  (signature: Signature): ((pattern: unknown) => RegexMatcher) | undefined => {
    const { collation } = signature
    if (collation === undefined || (ignoreCase && collation === "opaque")) return undefined
    return remember((pattern) => compileRegex(pattern, ignoreCase, collation))
  }
definePrepared(
  "textregexeq nameregexeq",
  regexes(false),
  () => (text, matcher) => (matcher as RegexMatcher)(text as string)
)
definePrepared(
  "textregexne nameregexne",
  regexes(false),
  () => (text, matcher) => !(matcher as RegexMatcher)(text as string)
)
definePrepared(
  "texticregexeq nameicregexeq",
  regexes(true),
  () => (text, matcher) => (matcher as RegexMatcher)(text as string)
)
definePrepared(
  "texticregexne nameicregexne",
  regexes(true),
  () => (text, matcher) => !(matcher as RegexMatcher)(text as string)
)
define("similar_to_escape_2", (pattern: string, escape: string) => similarToRegex(pattern, escape))
define("similar_to_escape_1", (pattern: string) => similarToRegex(pattern, "\\"))

group("text")

const cased = (key: string, convert: typeof lowerText): void => {
  defineTyped(key, ({ collation }) =>
    collation === undefined || collation === "opaque" ? undefined : (text) => convert(String(text), collation)
  )
}
cased("lower", lowerText)
cased("upper", upperText)
cased("initcap", initcapText)

const join = (a: string, b: string): string => {
  spendText(a.length + b.length)
  return a + b
}
define("textcat", join)
define("textlen", characterCount)
define("bpcharlen", (text: string) => characterCount(trimBlanks(text)))
define("textoctetlen bpcharoctetlen", (text: string) => {
  spend(text.length >> 3)
  return Buffer.byteLength(text)
})
define("textpos", (text: string, part: string) => {
  const at = findText(text, part)
  return at < 0 ? 0 : characterCount(text.slice(0, at)) + 1
})
define("text_starts_with", (text: string, prefix: string) => holdsAt(text, prefix))
define("text_substr", (text: string, start: number, length: number) => {
  if (length < 0) return fail("negative substring length not allowed")
  return sliceCharacters(text, Math.max(0, start - 1), Math.max(0, start - 1 + length))
})
define("text_substr_no_len", (text: string, start: number) =>
  sliceCharacters(text, Math.max(0, start - 1), Infinity)
)
define("text_left", (text: string, count: number) =>
  sliceCharacters(text, 0, count < 0 ? characterCount(text) + count : count)
)
define("text_right", (text: string, count: number) =>
  sliceCharacters(text, count < 0 ? -count : characterCount(text) - count, Infinity)
)
define("replace_text", (text: string, from: string, to: string) => {
  if (from === "") return text
  const parts = splitText(text, from)
  spendText(text.length + (parts.length - 1) * to.length)
  return parts.join(to)
})
define("split_part", (text: string, separator: string, field: number) => {
  if (field === 0) return fail("field position must not be zero")
  if (text === "") return ""
  const parts = separator === "" ? [text] : splitText(text, separator)
  return parts[field > 0 ? field - 1 : parts.length + field] ?? ""
})
define("text_reverse", (text: string) => {
  spend(text.length * 4)
  return (hasSurrogates(text) ? Array.from(text) : text.split("")).toReversed().join("")
})
define("repeat", (text: string, count: number) => {
  if (count <= 0) return ""
  spendText(text.length * count)
  return text.repeat(count)
})
define("ascii", (text: string) => text.codePointAt(0) ?? 0)
define("md5_text", (text: string) => {
  spend(text.length + 100)
  return createHash("md5").update(text).digest("hex")
})
define("translate", (text: string, from: string, to: string) => {
  spend((text.length + from.length + to.length) * 8)
  const target = Array.from(to)
  const map = new Map<string, string>()
  for (const [i, character] of Array.from(from).entries()) {
    if (!map.has(character)) map.set(character, target[i] ?? "")
  }
  return Array.from(text, (character) => map.get(character) ?? character).join("")
})

const trim = (text: string, set: string, start: boolean, end: boolean): string => {
  spend((text.length + set.length * 2) * 5)
  const characters = new Set(Array.from(set))
  const source = Array.from(text)
  let from = 0
  let to = source.length
  if (start) while (from < to && characters.has(source[from] ?? "")) from++
  if (end) while (to > from && characters.has(source[to - 1] ?? "")) to--
  return source.slice(from, to).join("")
}
define("btrim", (text: string, set: string) => trim(text, set, true, true))
define("ltrim", (text: string, set: string) => trim(text, set, true, false))
define("rtrim", (text: string, set: string) => trim(text, set, false, true))
define("btrim1", (text: string) => trim(text, " ", true, true))
define("ltrim1", (text: string) => trim(text, " ", true, false))
define("rtrim1", (text: string) => trimBlanks(text))

const pad = (text: string, length: number, fill: string, left: boolean): string => {
  const wanted = Math.max(0, length)
  const count = characterCount(text)
  if (count >= wanted) return sliceCharacters(text, 0, wanted)
  const width = characterCount(fill)
  if (width === 0) return text
  const missing = wanted - count
  spendText(text.length + missing * (fill.length > width ? 2 : 1))
  const padding = sliceCharacters(fill.repeat(Math.ceil(missing / width)), 0, missing)
  return left ? padding + text : text + padding
}
define("lpad", (text: string, length: number, fill: string) => pad(text, length, fill, true))
define("rpad", (text: string, length: number, fill: string) => pad(text, length, fill, false))
define("lpad(text,int4)", (text: string, length: number) => pad(text, length, " ", true))
define("rpad(text,int4)", (text: string, length: number) => pad(text, length, " ", false))

/** `concat` writes values as they are displayed, and passes over NULLs. */
const writers = (types: ReadonlyArray<TypeSpec>): ReadonlyArray<(value: unknown) => string> =>
  types.map((type) => codecOf(type, "c").write)
defineNullable("text_concat", ({ args }) => {
  const write = writers(args)
  return (...values) =>
    values.reduce<string>((text, value, i) => join(text, value === null ? "" : (write[i]?.(value) ?? "")), "")
})
defineNullable("text_concat_ws", ({ args }) => {
  const write = writers(args)
  return (separator, ...values) => {
    if (separator === null) return null
    const parts = values.flatMap((value, i) => (value === null ? [] : [write[i + 1]?.(value) ?? ""]))
    const between = Math.max(0, parts.length - 1) * String(separator).length
    spendText(parts.reduce((length, part) => length + part.length, between))
    return parts.join(String(separator))
  }
})
defineTyped("textanycat(text,anynonarray)", ({ args }) => {
  const write = toText(args[1] ?? "text")
  return write === undefined ? undefined : (a, b) => join(String(a), write(b))
})
defineTyped("anytextcat(anynonarray,text)", ({ args }) => {
  const write = toText(args[0] ?? "text")
  return write === undefined ? undefined : (a, b) => join(write(a), String(b))
})

group("casts of text")
define("varchar", (text: string, typmod: number, explicit: boolean) =>
  explicit ? cutVarchar(text, typmod) : assignVarchar(text, typmod)
)
define("bpchar", (text: string, typmod: number, explicit: boolean) => {
  if (explicit || typmod < 4 || characterCount(trimBlanks(text)) <= typmod - 4) return padBpchar(text, typmod)
  return fail(`value too long for type character(${typmod - 4})`)
})
define("booltext", (value: boolean) => (value ? "true" : "false"))
define("name_text", (text: string) => text)
define("text_name bpchar_name", (text: string) => {
  // There are no fewer bytes than characters.
  return text.length < 64 && Buffer.byteLength(text) < 64
    ? trimBlanks(text) === text
      ? text
      : undecided("a name with trailing blanks")
    : undecided("a long name")
})
