/** Tables that are brought up to date in place: a row stays the same element, so that focus and selection stay too. */

import { make } from "../view.js";

/**
 * @template T
 * @typedef {object} Column
 * @property {string} name
 * @property {(row: T) => string} text
 * @property {boolean} [number] set right, in figures of one width
 * @property {boolean} [wide] takes the room that is left
 * @property {(row: T) => string} [level] "ok", "degraded" or "down": shown as a coloured dot before the text
 */

/**
 * @template T
 * @typedef {{name: string, about: (row: T) => string, run: (row: T) => void}} Action what can be done with a row
 */

/** @template T */
export class Table {
  #body = make("tbody");
  #columns;
  #key;
  /** @type {Action<T>|undefined} */
  #action;
  #empty;
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} table
   * @param {{columns: Column<T>[], key: (row: T) => string, empty: string, action?: Action<T>}} options
   */
  constructor(table, { columns, key, empty, action }) {
    this.#columns = columns;
    this.#key = key;
    this.#action = action;
    this.#empty = make("tr", {}, make("td", { colspan: String(columns.length + (action ? 1 : 0)), class: "soft" }, empty));
    const heads = columns.map((column) => make("th", { scope: "col", class: look(column) }, column.name));
    if (action) heads.push(make("td", {}));
    table.replaceChildren(make("thead", {}, make("tr", {}, ...heads)), this.#body);
    this.#body.append(this.#empty);
  }

  /** @param {T[]} rows */
  show(rows) {
    const seen = new Set(rows.map(this.#key));
    for (const [key, row] of this.#rows) {
      if (seen.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    for (const row of rows) this.#fill(this.#rowOf(row), row);
    if (rows.length) this.#empty.remove();
    else this.#body.append(this.#empty);
  }

  /** @param {T} row */
  #rowOf(row) {
    const key = this.#key(row);
    let made = this.#rows.get(key);
    if (!made) {
      made = make("tr", { "data-key": key });
      for (const [n, column] of this.#columns.entries()) {
        made.append(n ? make("td", { class: look(column) }) : make("th", { scope: "row" }));
      }
      if (this.#action) made.append(make("td", {}, this.#button(row)));
      this.#rows.set(key, made);
      this.#body.append(made);
    }
    return made;
  }

  /** @param {T} row */
  #button(row) {
    const { name, about, run } = /** @type {Action<T>} */ (this.#action);
    const button = make("button", { type: "button", class: "push", "aria-label": about(row) }, name);
    button.addEventListener("click", () => run(row));
    return button;
  }

  /** @param {HTMLElement} made @param {T} row */
  #fill(made, row) {
    for (const [n, column] of this.#columns.entries()) {
      const cell = /** @type {HTMLElement} */ (made.children[n]);
      const text = column.text(row);
      if (cell.textContent !== text) cell.textContent = text;
      if (column.level) cell.dataset.level = column.level(row);
    }
  }
}

/** @param {Column<any>} column */
function look({ number, wide }) {
  return number ? "number" : wide ? "wide-cell" : "";
}
