/** Loaded before a server: its clock goes wrong by `CHAOS_CLOCK_SHIFT_MS`. */
const shiftMs = Number(process.env['CHAOS_CLOCK_SHIFT_MS'] ?? 0)
const TrueDate = Date

if (shiftMs !== 0) {
  globalThis.Date = class extends TrueDate {
    constructor(...args) {
      if (args.length === 0) super(TrueDate.now() + shiftMs)
      else super(...args)
    }
    static now() {
      return TrueDate.now() + shiftMs
    }
  }
}
