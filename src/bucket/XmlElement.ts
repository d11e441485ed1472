/** An element of XML: either what stands in it, or its text, means something. */
interface XmlElement {
  readonly name: string
  readonly children: ReadonlyArray<XmlElement>
  readonly text: string
}

const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }

const entity = /&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{2,4}));/g

/** Text as it is meant; `undefined` when a reference in it is none. */
const unescaped = (text: string): string | undefined => {
  if (!text.includes("&")) return text
  let isSound = true
  const result = text.replaceAll(entity, (whole, hex?: string, decimal?: string, name?: string) => {
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
    const meant =
      name === undefined ? (code <= 0x10ffff ? String.fromCodePoint(code) : undefined) : named[name]
    isSound &&= meant !== undefined
    return meant ?? whole
  })
  return isSound && !text.replaceAll(entity, "").includes("&") ? result : undefined
}

/** What stands between `<` and `>`: a comment, a declaration, or a tag, whose attributes mean nothing here. */
const markup =
  /<(?:!--[^]*?--|\?[^]*?\?|!\[CDATA\[([^]*?)\]\]|(\/?)([A-Za-z_][\w.:-]*)(?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*(\/?))>/y

const deepest = 16

/** A name without the prefix of its namespace. */
const localName = (name: string): string => name.slice(name.indexOf(":") + 1)

interface Open {
  readonly name: string
  readonly children: Array<XmlElement>
  text: string
}

/**
 * Reads as much of XML as answers of the S3 API have: elements and text. `undefined` when it is anything else, such as a page for
 * people or half a document. Time grows with the length of the document only.
 */
export const parseXml = (document: string): XmlElement | undefined => {
  const root: Open = { name: "", children: [], text: "" }
  const stack: Array<Open> = [root]
  let at = document.startsWith("\uFEFF") ? 1 : 0
  while (at < document.length) {
    const top = stack.at(-1) ?? root
    const next = document.indexOf("<", at)
    const text = unescaped(document.slice(at, next < 0 ? document.length : next))
    if (text === undefined) return undefined
    top.text += text
    if (next < 0) break
    markup.lastIndex = next
    const found = markup.exec(document)
    if (found === null) return undefined
    at = markup.lastIndex
    const [, data, closes, name = "", isEmpty] = found
    if (data !== undefined) top.text += data
    else if (name !== "" && closes === "/") {
      if (stack.length === 1 || top.name !== name || isEmpty === "/") return undefined
      stack.pop()
      stack.at(-1)?.children.push({ ...top, name: localName(name) })
    } else if (name !== "" && isEmpty === "/")
      top.children.push({ name: localName(name), children: [], text: "" })
    else if (name !== "") {
      if (stack.length > deepest) return undefined
      stack.push({ name, children: [], text: "" })
    }
  }
  const [element, ...more] = root.children
  return stack.length === 1 && more.length === 0 && root.text.trim() === "" ? element : undefined
}

export const childText = (element: XmlElement, name: string): string | undefined =>
  element.children.find((child) => child.name === name)?.text
