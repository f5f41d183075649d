/** A join link, `/?token=...`: signs this tab in, once, in place of the server's key. */

import { keepAccessKey, keepUserId } from "./caller.js";
import { SignalingError } from "./signaling.js";

/**
 * Exchange the token in the page's address, if it has one, and take it out of there: it is used up.
 *
 * @returns {Promise<void>} rejects with a SignalingError
 */
export async function joinByLink() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (!token) return;
  address.searchParams.delete("token");
  history.replaceState(history.state, "", address);
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(new URL("api/tokens/exchange", document.baseURI), { method: "POST", headers });
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    const message = "This link was used, or has expired. Ask for a new one.";
    throw new SignalingError(response.status === 401 ? 403 : response.status, "link_refused", message);
  }
  keepAccessKey(answer.token);
  keepUserId(answer.user_id);
}
