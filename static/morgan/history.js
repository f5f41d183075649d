/**
 * What is remembered of one user: conversations, their words and recordings, to be searched, taken away and deleted.
 *
 * @import {Conversation, Found, Message, Recording} from "../morgan.js"
 */

const PAGE = 200;

export class Conversations {
  #signaling;
  #userId;

  /** @param {import("./signaling.js").Signaling} signaling @param {() => string|null} userId whose; null where the token says it */
  constructor(signaling, userId) {
    this.#signaling = signaling;
    this.#userId = userId;
  }

  /** Latest first. @param {string|null} [cursor] @returns {Promise<{conversations: Conversation[], next_cursor: string|null}>} */
  list(cursor) {
    return this.#get("api/conversations", { limit: "50", cursor });
  }

  /** @param {string} id @returns {Promise<Conversation & {recordings: Recording[]}>} */
  show(id) {
    return this.#get(path(id), {});
  }

  /** All that was said, in order. @param {string} id @returns {Promise<Message[]>} */
  async messages(id) {
    const all = [];
    for (let cursor = null, first = true; first || cursor; first = false) {
      const page = await this.#get(`${path(id)}/messages`, { limit: String(PAGE), cursor });
      all.push(...page.messages);
      cursor = page.next_cursor;
    }
    return all;
  }

  /** By meaning, best first. @param {string} words @returns {Promise<Found[]>} */
  async search(words) {
    return (await this.#get("api/memory/search", { q: words, limit: "20" })).results;
  }

  /** @param {string} id @param {string} name of the recording @returns {Promise<Blob>} Ogg Opus, the user left, Morgan right */
  recording(id, name) {
    return this.#get(`${path(id)}/recordings/${encodeURIComponent(name)}`, {}, (response) => response.blob());
  }

  /** @param {string} id @param {"json"|"txt"|"vtt"} format @returns {Promise<Blob>} */
  export(id, format) {
    return this.#get(`${path(id)}/export`, { format }, (response) => response.blob());
  }

  /** Nothing is left of it. @param {string} id */
  async delete(id) {
    await this.#signaling.request("DELETE", path(id) + this.#query({}));
  }

  /** @param {string} where @param {Record<string, string|null|undefined>} query @param {(response: Response) => Promise<any>} [read] */
  #get(where, query, read) {
    return this.#signaling.request("GET", where + this.#query(query), undefined, undefined, read ? 120_000 : undefined, read);
  }

  /** @param {Record<string, string|null|undefined>} query */
  #query(query) {
    const given = Object.entries({ user_id: this.#userId(), ...query }).filter(([, value]) => value);
    return given.length ? `?${new URLSearchParams(/** @type {any} */ (given))}` : "";
  }
}

/** @param {string} id */
function path(id) {
  return `api/conversations/${encodeURIComponent(id)}`;
}
