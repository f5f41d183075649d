import notifee from "@notifee/react-native";
import { AppRegistry } from "react-native";

import App from "./src/App";

// The service lives until `stopForegroundService`; it has nothing to do but to be there.
notifee.registerForegroundService(() => new Promise(() => {}));
AppRegistry.registerComponent("Morgan", () => App);
