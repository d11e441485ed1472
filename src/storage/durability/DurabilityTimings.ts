/** An object is at most so large, so that memory is bounded however much has gathered while the bucket was away. */
export const objectBytes = 16 << 20
/** What comes after silence is not sent at once: clients are told first, and what comes with it goes along. */
export const gatherMillis = 5
/** So much is not kept waiting for the next object. */
export const fullBytes = 8 << 20
/** A local file that cannot be read, or a bucket that refuses, is asked again after so long. */
export const shipAgainMillis = 1000
/** How often it is looked whether files beside the shapes have changed, while nothing else is shipped. */
export const schemaLookMillis = 10_000
/** An opening that does not get through for so long is given up, and the lock with it. */
export const openingMillis = 20_000
/** All clients wait for an opening: it is tried again after so long at most, however often it has failed. */
export const openingPauseMillis = 500
/** After an object was created nobody can have created a later one: so long that is believed without another look. */
export const lookMillis = 5000
