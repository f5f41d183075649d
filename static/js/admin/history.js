/**
 * What the page remembers of the server's last hour: each answer brings what is new, and here it is put together.
 *
 * @typedef {{at_s: number, voice_to_voice_ms: number, stages: Record<string, number>}} Turn
 * @typedef {{at_s: number, calls: number, capacity: number, cores: number, waiting: number}} Load
 * @typedef {{number: number, at: string, level: string, source: string, message: string, fields: Record<string, string>}} Fault
 */

export const HOUR_S = 3600;
const FAULTS = 100;
const ROUNDING_S = 0.01;

export class Past {
  /** @type {Turn[]} */
  turns = [];
  /** @type {Load[]} */
  loads = [];
  /** The newest first. @type {Fault[]} */
  faults = [];
  /** Everything up to this second is known. */
  #until = -1;

  /** What to ask for. */
  get query() {
    return `after_s=${this.#until}&after_fault=${this.faults[0]?.number ?? 0}`;
  }

  /** @param {{now_s: number, turns: Turn[], loads: Load[], faults: Fault[]}} state */
  add({ now_s, turns, loads, faults }) {
    if (now_s < this.#until) {
      // Another process, which was asked for what is later than its whole life.
      this.turns = [], this.loads = [], this.faults = [];
      this.#until = -1;
      return;
    }
    this.#until = now_s - ROUNDING_S; // what is told twice is kept once
    const newer = (/** @type {{at_s: number}[]} */ known) => (/** @type {{at_s: number}} */ each) => !known.length || each.at_s > known[known.length - 1].at_s;
    this.turns.push(...turns.filter(newer(this.turns)));
    this.loads.push(...loads.filter(newer(this.loads)));
    this.turns = this.turns.filter((turn) => turn.at_s > now_s - HOUR_S);
    this.loads = this.loads.filter((load) => load.at_s > now_s - HOUR_S);
    this.faults = [...faults.filter((fault) => fault.number > (this.faults[0]?.number ?? 0)).reverse(), ...this.faults].slice(0, FAULTS);
  }
}

/** @param {number[]} values @param {number} share 0.5 for the median @returns {number|null} */
export function quantile(values, share) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** The mean of each stage, in the order in which they come. @param {Turn[]} turns @returns {[name: string, ms: number][]} */
export function meanStages(turns) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { stages } of turns) for (const [name, ms] of Object.entries(stages)) sums.set(name, (sums.get(name) ?? 0) + ms);
  return [...sums].map(([name, sum]) => [name, sum / turns.length]);
}
