/**
 * Text from records and endpoints, made harmless for a terminal: what would move the cursor, colour the screen, reverse
 * the reading direction or end a line is shown as `\u{…}` instead.
 */
export const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Joiners that scripts and emoji need; they change no position. */
export const harmlessFormat: ReadonlySet<string> = new Set(['\u200c', '\u200d', '\u00ad'])

export function plain(text: string): string {
  return text.replace(unsafe, (character) =>
    harmlessFormat.has(character) ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}
