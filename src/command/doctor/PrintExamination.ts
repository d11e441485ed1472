import { harmless } from "../Figures.ts"
import type { Paint } from "../Terminal.ts"
import type { Examination } from "./Examination.ts"
import type { Finding } from "./Finding.ts"

const words = { ok: "ok", advice: "advice", problem: "PROBLEM" } as const
const colours = { ok: "green", advice: "yellow", problem: "red" } as const

const indent = " ".repeat(23)

const lines = ({ check, code, fix, level, text }: Finding, paint: Paint): ReadonlyArray<string> => [
  `${paint(colours[level], words[level].padEnd(8))}${check.padEnd(15)}${text.split("\n").map(harmless).join(`\n${indent}`)}`,
  ...(fix === undefined
    ? []
    : fix.split("\n").map((line) => `${indent}${paint("bold", `→ ${harmless(line)}`)}`)),
  ...(code === undefined ? [] : [`${indent}${paint("grey", `${code}, see docs/errors.md`)}`])
]

const counted = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`

const summary = ({ findings }: Examination): string => {
  const problems = findings.filter(({ level }) => level === "problem").length
  const advised = findings.filter(({ level }) => level === "advice").length
  if (problems + advised === 0) return "All is well."
  return `${problems === 0 ? "No problem" : counted(problems, "problem", "problems")}${advised === 0 ? "" : `, ${counted(advised, "piece of advice", "pieces of advice")}`}.`
}

/** For people: one finding a line, what to run below it, and what a start would do at the end. */
export const printExamination = (examination: Examination, title: string, paint: Paint): string =>
  [
    title,
    "",
    ...examination.findings.flatMap((finding) => lines(finding, paint)),
    ...(examination.start.length === 0
      ? []
      : ["", "A start would:", ...examination.start.map((sentence) => `  - ${harmless(sentence)}`)]),
    "",
    summary(examination),
    ""
  ].join("\n")
