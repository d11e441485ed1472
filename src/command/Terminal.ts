const escapes = { green: 32, yellow: 33, red: 31, grey: 90, bold: 1 } as const

/** Colours a text, or leaves it as it is. */
export type Paint = (colour: keyof typeof escapes, text: string) => string

/** Colours are for terminals whose user has not said otherwise (`NO_COLOR`). */
export const paintFor = (
  isTerminal: boolean,
  environment: Readonly<Record<string, string | undefined>>
): Paint =>
  isTerminal && (environment["NO_COLOR"] ?? "") === ""
    ? (colour, text) => `\u001b[${escapes[colour]}m${text}\u001b[0m`
    : (_, text) => text
