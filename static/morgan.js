/** Call Morgan from a web page: `connect({ token })` inside a click. Types: morgan.d.ts; how: docs/browser.md. */

export { Call, connect } from "./morgan/call.js";
export { listDevices, openMicrophone } from "./morgan/devices.js";
export { Conversations } from "./morgan/history.js";
export { Levels } from "./morgan/levels.js";
export { JOIN, Signaling, SignalingError } from "./morgan/signaling.js";
