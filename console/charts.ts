/** Two small drawings of the last five minutes: messages per second, and where the time between them and this page went. */
import { h, s, setText } from './dom.ts'
import { durationOf } from './format.ts'
import { bucketMs, bucketsShown, hopNames, type Bucket, type Meter } from './meter.ts'

const width = 300
const height = 84
const barWidth = width / bucketsShown

export class Charts {
  readonly element: HTMLElement
  readonly #meter: Meter
  readonly #rate = drawing('Messages per second', 'rate')
  readonly #latency = drawing('Mean latency, per hop', 'latency')
  readonly #summary = h('p', { class: 'summary' })
  readonly #timer: ReturnType<typeof setInterval>

  constructor(meter: Meter) {
    this.#meter = meter
    const legend = h('ul', { class: 'legend' }, ...hopNames.map((name, at) => h('li', { class: `hop-${at}` }, name)))
    this.element = h(
      'div',
      { class: 'charts' },
      this.#summary,
      this.#latency.figure,
      legend,
      this.#rate.figure,
      h('p', { class: 'ages' }, h('span', {}, '5 min ago'), h('span', {}, 'now')),
    )
    this.#timer = setInterval(() => this.show(), 1_000)
    this.show()
  }

  show(): void {
    const buckets = this.#meter.buckets()
    draw(
      this.#rate,
      buckets,
      ({ count }) => [(count * 1000) / bucketMs],
      (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`,
    )
    draw(this.#latency, buckets, ({ timed, hopMs }) => hopMs.map((ms) => (timed === 0 ? 0 : ms / timed)), durationOf)
    const last = this.#meter.lastMinute()
    const words = last
      ? `Last minute: ${last.perSecond.toFixed(1)} messages a second; half arrived within ${durationOf(last.p50)}, 99 of 100 within ${durationOf(last.p99)}.`
      : 'Nothing arrived in the last minute.'
    setText(this.#summary, words)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

interface Drawing {
  readonly figure: HTMLElement
  readonly bars: SVGElement
  readonly scale: HTMLElement
}

function drawing(title: string, name: string): Drawing {
  const bars = s('g')
  const svg = s(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('line', { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: 'axis' }),
    bars,
  )
  const scale = h('span', { class: 'scale' })
  return { figure: h('figure', { class: name }, h('figcaption', {}, title, scale), svg), bars, scale }
}

/** Stacked bars; the tallest fills the height. */
function draw(
  { bars, scale }: Drawing,
  buckets: readonly Bucket[],
  valuesOf: (bucket: Bucket) => number[],
  words: (value: number) => string,
): void {
  const stacks = buckets.map(valuesOf)
  const top = Math.max(...stacks.map((values) => values.reduce((sum, value) => sum + value, 0)))
  setText(scale, top > 0 ? `up to ${words(top)}` : '')
  const rects = stacks.flatMap((values, at) => {
    let y = height - 1
    return values.flatMap((value, hop) => {
      const tall = top === 0 ? 0 : (value / top) * (height - 4)
      if (tall === 0) return []
      y -= tall
      return [s('rect', { x: at * barWidth + 0.5, y, width: barWidth - 1, height: tall, class: `hop-${hop}` })]
    })
  })
  bars.replaceChildren(...rects)
}
