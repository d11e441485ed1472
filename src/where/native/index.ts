// Registers every function that is evaluated here.
import "./comparisons.ts"
import "./numbers.ts"
import "./texts.ts"
import "./datetimes.ts"
import "./collections.ts"
import "./documents.ts"

export { natives, type Implementation, type Native, type Signature } from "./Native.ts"
