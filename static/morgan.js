/**
 * Call Morgan from a web page.
 *
 *     import { connect } from "https://morgan.example.org/static/morgan.js";
 *
 *     button.onclick = () => {
 *       const call = connect({ token: joinToken });
 *       call.addEventListener("line", ({ detail }) => console.log(detail.role, detail.text));
 *       call.addEventListener("ended", ({ detail }) => console.log("ended", detail.code));
 *     };
 *
 * `call.say("…")`, `call.mute(true)`, `call.useMicrophone(id)`, `call.stats()`, `call.close()` and the rest: morgan.d.ts.
 */

export { Call, connect } from "./morgan/call.js";
export { listDevices, openMicrophone } from "./morgan/devices.js";
export { Conversations } from "./morgan/history.js";
export { Levels } from "./morgan/levels.js";
export { JOIN, Signaling, SignalingError } from "./morgan/signaling.js";
