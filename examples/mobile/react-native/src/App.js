/** The app: one button. What the system does to a call (interruptions, Bluetooth, networks, the background) is dealt with here. */

import NetInfo from "@react-native-community/netinfo";
import notifee, { AndroidForegroundServiceType } from "@notifee/react-native";
import { useEffect, useRef, useState } from "react";
import { DeviceEventEmitter, Linking, PermissionsAndroid, Platform, Pressable, SafeAreaView, StyleSheet, Text } from "react-native";
import InCallManager from "react-native-incall-manager";
import { mediaDevices, RTCPeerConnection } from "react-native-webrtc";

import { MorganCall } from "./call.js";
import { Signaling } from "./signaling.js";

const SERVER = "https://morgan.example.org";
const WORDS = { idle: "Call", connecting: "Connecting", connected: "Hang up", reconnecting: "Reconnecting", ended: "Call again" };

/** Android keeps a microphone in the background only for an app that shows so. */
async function holdTheBackground() {
  if (Platform.OS !== "android") return; // iOS: UIBackgroundModes audio in Info.plist
  const channelId = await notifee.createChannel({ id: "call", name: "Calls" });
  await notifee.displayNotification({
    title: "Morgan",
    body: "In a call",
    android: {
      channelId,
      asForegroundService: true,
      foregroundServiceTypes: [AndroidForegroundServiceType.FOREGROUND_SERVICE_TYPE_MICROPHONE],
      ongoing: true,
    },
  });
}

async function mayRecord() {
  if (Platform.OS !== "android") return true; // iOS asks at the first use of the microphone
  const wanted = [PermissionsAndroid.PERMISSIONS.RECORD_AUDIO, PermissionsAndroid.PERMISSIONS.BLUETOOTH_CONNECT];
  const given = await PermissionsAndroid.requestMultiple(wanted);
  return given[wanted[0]] === "granted";
}

export default function App() {
  const [state, setState] = useState("idle");
  const [problem, setProblem] = useState("");
  const call = useRef(null);
  const token = useRef(null);
  const microphone = useRef(null);

  // A join link, morgan://join?token=mt_..., makes whoever opens it a caller.
  useEffect(() => {
    const take = ({ url }) => (token.current = /[?&]token=([^&]+)/.exec(url ?? "")?.[1] ?? token.current);
    Linking.getInitialURL().then((url) => take({ url }));
    const listening = Linking.addEventListener("url", take);
    return () => listening.remove();
  }, []);

  // Wi-Fi to mobile data, a tunnel, flight mode: the call moves as soon as there is a network, not when the old one times out.
  useEffect(() => {
    let before = null;
    return NetInfo.addEventListener(({ type, isConnected, details }) => {
      const now = isConnected ? `${type} ${details?.ipAddress ?? ""}` : null;
      if (now && before !== null && now !== before) call.current?.networkChanged();
      before = now ?? "";
    });
  }, []);

  // A phone call or another app takes the sound (Android): Morgan hears nothing and waits. On iOS libwebrtc's own audio
  // session stops with the interruption and goes on after it.
  useEffect(() => {
    const listening = DeviceEventEmitter.addListener("onAudioFocusChange", ({ eventCode }) => {
      for (const track of microphone.current?.getAudioTracks() ?? []) track.enabled = eventCode > 0;
    });
    return () => listening.remove();
  }, []);

  async function makePeer(iceServers) {
    microphone.current ??= await mediaDevices.getUserMedia({ audio: true, video: false });
    const peer = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    for (const track of microphone.current.getTracks()) peer.addTrack(track, microphone.current);
    return peer;
  }

  async function toggle() {
    if (call.current) return call.current.end();
    setProblem("");
    if (!(await mayRecord())) return setProblem("Morgan needs the microphone.");
    setState("connecting");
    await holdTheBackground();
    // Takes audio focus, and follows Bluetooth and wired headsets.
    InCallManager.start({ media: "audio", auto: true });
    const made = new MorganCall(new Signaling(SERVER, token.current), { userId: "phone" }, makePeer, {
      state: setState,
      ended: (reason, error) => {
        call.current = null;
        InCallManager.stop();
        notifee.stopForegroundService();
        microphone.current?.getTracks().forEach((track) => track.stop());
        microphone.current = null;
        if (error) setProblem(error.message);
        else if (reason === "lost") setProblem("The network did not come back.");
      },
    });
    call.current = made;
    made.start().catch(() => {}); // told by `ended`
  }

  return (
    <SafeAreaView style={styles.page}>
      <Pressable style={styles.button} onPress={toggle} accessibilityRole="button">
        <Text style={styles.words}>{WORDS[state]}</Text>
      </Pressable>
      <Text accessibilityLiveRegion="assertive">{problem}</Text>
    </SafeAreaView>
  );
}

const styles = StyleSheet.create({
  page: { flex: 1, alignItems: "center", justifyContent: "center", gap: 24 },
  button: { width: 200, height: 200, borderRadius: 100, alignItems: "center", justifyContent: "center", backgroundColor: "#0c7c66" },
  words: { color: "white", fontSize: 20 },
});
