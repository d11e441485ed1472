import { readFileSync } from "node:fs"
import type { BatonConfig } from "./BatonConfig.ts"
import { variables } from "./Variables.ts"

/**
 * What is wrong with the files that a configuration names, as an operator should read it at the start: a file that cannot
 * be read would otherwise show as a failure of whatever needs it first. They are read again where they are used.
 */
export const fileProblems = ({
  databaseCaCertificateFile: file
}: Pick<BatonConfig, "databaseCaCertificateFile">): ReadonlyArray<string> => {
  if (file === undefined) return []
  const named = `${variables.databaseCaCertificateFile.name}=${JSON.stringify(file)}`
  try {
    return readFileSync(file, "utf8").includes("-----BEGIN CERTIFICATE-----")
      ? []
      : [`${named}: the file holds no certificate in PEM format`]
  } catch (error) {
    return [`${named}: the file cannot be read (${(error as NodeJS.ErrnoException).code ?? "unreadable"})`]
  }
}
