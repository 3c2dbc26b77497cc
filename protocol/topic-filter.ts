/** How a topic filter matches, and what it covers [MQTT-4.7]. Of no platform: the SDK matches with it as well. */

/** A filter split once, for matching many topics. */
export class TopicFilter {
  readonly text: string
  readonly #levels: readonly string[]
  readonly #exact: boolean

  constructor(text: string) {
    this.text = text
    this.#levels = text.split('/')
    this.#exact = !/[+#]/.test(text)
  }

  /** Whether the topic matches [MQTT-4.7]; wildcards at the front do not match topics that begin with `$`. */
  matches(topic: string): boolean {
    if (this.#exact) return this.text === topic
    const levels = topic.split('/')
    const first = this.#levels[0]
    if ((first === '+' || first === '#') && topic.startsWith('$')) return false
    for (let at = 0; at < this.#levels.length; at++) {
      const level = this.#levels[at]
      if (level === '#') return true
      if (at >= levels.length || (level !== '+' && level !== levels[at])) return false
    }
    return levels.length === this.#levels.length
  }

  /** Whether every topic that `other` can match is matched by this one. */
  covers(other: string): boolean {
    // Wildcards at the front do not match topics that begin with $.
    if (/^[+#]/.test(this.text) && other.startsWith('$')) return false
    const theirs = other.split('/')
    for (let at = 0; at < this.#levels.length; at++) {
      const level = this.#levels[at]
      if (level === '#') return true
      const their = theirs[at]
      if (their === undefined || their === '#') return false
      if (level !== '+' && level !== their) return false
    }
    return theirs.length === this.#levels.length
  }
}
