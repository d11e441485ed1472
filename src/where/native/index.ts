// Registers every function that is evaluated here.
import "./Comparisons.ts"
import "./Numbers.ts"
import "./Texts.ts"
import "./Datetimes.ts"
import "./Collections.ts"
import "./Documents.ts"

export { natives, type Implementation, type Native, type Signature } from "./Native.ts"
