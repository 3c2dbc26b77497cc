/** Parts of a JSON text as they were written, so that a number or a space in a payload is shown as it was sent [P-3.14]. */

/** The members of a JSON object, by name, each as its text. The text has been parsed before and is known to be JSON. */
export function rawMembers(text: string): Map<string, string> {
  const members = new Map<string, string>()
  let at = skipWhite(text, skipWhite(text, 0) + 1)
  while (text[at] === '"') {
    const nameEnd = endOfValue(text, at)
    const start = skipWhite(text, skipWhite(text, nameEnd) + 1)
    const end = endOfValue(text, start)
    members.set(JSON.parse(text.slice(at, nameEnd)) as string, text.slice(start, end))
    at = skipWhite(text, end)
    if (text[at] === ',') at = skipWhite(text, at + 1)
  }
  return members
}

/** The elements of a JSON array, each as its text. */
export function rawElements(text: string): string[] {
  const elements: string[] = []
  let at = skipWhite(text, skipWhite(text, 0) + 1)
  while (at < text.length && text[at] !== ']') {
    const end = endOfValue(text, at)
    elements.push(text.slice(at, end))
    at = skipWhite(text, end)
    if (text[at] === ',') at = skipWhite(text, at + 1)
  }
  return elements
}

function endOfValue(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const character = text[at] as string
    if (character === '"') {
      at = endOfString(text, at) - 1
      if (depth === 0) return at + 1
    } else if (character === '{' || character === '[') {
      depth++
    } else if (character === '}' || character === ']') {
      // A closing bracket at depth 0 belongs to what encloses a number or a word.
      if (depth === 0) return at
      if (--depth === 0) return at + 1
    } else if (depth === 0 && (character === ',' || isWhite(character))) {
      return at
    }
  }
  return text.length
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function skipWhite(text: string, start: number): number {
  let at = start
  while (at < text.length && isWhite(text[at] as string)) at++
  return at
}

function isWhite(character: string): boolean {
  return character === ' ' || character === '\n' || character === '\r' || character === '\t'
}
