/**
 * Arrays as parameters of a statement, so that one statement stores any number of rows. The library would send the elements of a
 * `bytea[]` as hexadecimal digits, twice as long; here they are sent as bytes, in the binary format of PostgreSQL's `array_recv`:
 * the number of dimensions, a flag for nulls, the type of the elements, the length and the first index, then the length and the bytes of each
 * element.
 */

/** The number of the type `bytea`, the same in every database (`pg_type.dat`). */
const byteaType = 17
const headerLength = 20

/** A parameter for a `bytea[]`. The library sends a Buffer in binary format. */
export function byteaArray(elements: readonly Uint8Array[]): Buffer {
  const length = elements.reduce((sum, element) => sum + 4 + element.length, headerLength)
  const bytes = Buffer.allocUnsafe(length)
  const dimensions = elements.length > 0 ? 1 : 0
  let at = 0
  for (const field of [dimensions, 0, byteaType, elements.length, 1]) at = bytes.writeInt32BE(field, at)
  for (const element of elements) {
    at = bytes.writeInt32BE(element.length, at)
    bytes.set(element, at)
    at += element.length
  }
  // An empty array ends after the type of its elements.
  return dimensions === 0 ? bytes.subarray(0, 12) : bytes
}
