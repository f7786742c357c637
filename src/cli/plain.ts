/**
 * Makes text from records and endpoints harmless for a terminal. Characters that would move the cursor, colour the screen, reverse
 * the reading direction or end a line are shown as `\u{…}`.
 */
export const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Joiners that scripts and emoji need. They do not change the position of other characters. */
export const harmlessFormat: ReadonlySet<string> = new Set(['\u200c', '\u200d', '\u00ad'])

export function plain(text: string): string {
  return text.replace(unsafe, (character) =>
    harmlessFormat.has(character) ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}
