/** Blanks of other scripts become the ordinary one. Source: RFC 3454, table C.1.2. */
const otherSpaces = /[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/gu
/** What is not meant to be seen goes. Source: RFC 3454, table B.1. */
const mappedToNothing =
  /\u00AD|\u034F|\u1806|\u180B|\u180C|\u180D|\u200C|\u200D|\u2060|[\uFE00-\uFE0F]|\uFEFF/gu
/** With any of these a password is taken as it is. Source: RFC 4013, section 2.3, and what Postgres makes of it. */
const prohibited = /[\p{Cc}\p{Co}\p{Cs}\p{Cn}]/u
const plain = /^[\x20-\x7e]*$/

/**
 * The form of a password that SCRAM works with (SASLprep): Postgres has made its verifier of the same form. A password of
 * printable ASCII characters stays what it is.
 */
export const saslPrep = (password: string): string => {
  if (plain.test(password)) return password
  const prepared = password.replace(otherSpaces, " ").replace(mappedToNothing, "").normalize("NFKC")
  return prepared === "" || prohibited.test(prepared) ? password : prepared
}
